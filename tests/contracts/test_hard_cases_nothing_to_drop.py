"""Where nothing can drop, or nothing is seen, it is said, once; it never breaks a run."""

import pytest
import torch

from attached import attach, sgd
from layerdropback import LayerDropBack, Schedule, Uniform
from loops import steps
from zoo import mlp

FROM_ONE = Schedule(every=1, start=1)


def test_an_epoch_in_which_nothing_can_drop_is_full_and_said_once():
    model = mlp()
    optimizers = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2, 4)]
    ldb = LayerDropBack(model, optimizers, lr_scale=2)
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        for each in optimizers:
            each.step()
    ldb.begin_epoch(1)
    with pytest.warns(UserWarning, match="no layer can be dropped in drop epoch 1, which trains"):
        model(torch.randn(2, 8))
    assert ldb.mask is None
    assert ldb.stats()["lr_factor"] == 1.0
    ldb.begin_epoch(3)
    model(torch.randn(2, 8))


def test_gradual_unfreezing_from_the_head_down():
    model = mlp()
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    ldb, optimizer = attach(model, schedule=FROM_ONE)
    steps(ldb, model, optimizer, 0)
    with pytest.warns(UserWarning, match="no layer can be dropped"):
        steps(ldb, model, optimizer, 1)
    for number, epoch in ((2, 2), (0, 3)):
        model[number].requires_grad_(True)
        steps(ldb, model, optimizer, epoch, count=20)
        assert ldb.stats()["times_dropped"][str(number)] > 0
    assert ldb.stats()["times_dropped"]["4"] == 0


def test_a_model_that_is_frozen_at_the_epochs_start():
    """A GAN's loop leaves its discriminator frozen."""
    model = mlp()
    ldb, optimizer = attach(model, Uniform(0.9))
    for epoch in range(4):
        for _ in ldb.epoch(range(5), epoch):
            model.requires_grad_(True)
            model(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            model.requires_grad_(False)
    assert ldb.stats()["drop_steps"] >= 8
    assert ldb.stats()["times_dropped"]["0"] > 0


def test_an_optimizer_that_is_never_stepped_is_told():
    model = mlp()
    attached, other = sgd(model), sgd(model)
    ldb = LayerDropBack(model, attached)
    text = (
        "weights moved 3 times, and no step of 'SGD' was seen.*another optimizer than the attached"
    )
    with pytest.warns(UserWarning, match=text) as told:
        steps(ldb, model, other, 0, count=20)
    assert len(told) == 1
