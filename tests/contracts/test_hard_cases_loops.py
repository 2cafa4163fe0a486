"""What went wrong once, or would with an approach that looks as good: losses, windows, epochs."""

import gc

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from attached import attach, dropped_names, flags, sgd
from layerdropback import (
    AttachError,
    EpochError,
    LayerDropBack,
    LoaderError,
    Schedule,
    StateError,
    Uniform,
)
from loops import drop_counts, steps
from twins import ALWAYS
from zoo import ZOO, Auxiliary, mlp

# ---- several losses ------------------------------------------------------------------------------


def test_an_auxiliary_loss_alone_lifts_the_flags_and_opens_a_window():
    model = Auxiliary()
    ldb, optimizer = attach(model, Uniform(0.9), verify=False)
    entry = ZOO["auxiliary"]
    with ldb.epoch(None, 0):
        entry.backward(model, entry.batches(1)[0])
        optimizer.step()
        optimizer.zero_grad()
    with ldb.epoch(None, 1):
        mask = ldb.mask
        assert mask.any()
        model(torch.randn(2, 8))["auxiliary"].sum().backward()
        assert all(flags(model).values())
    with ldb.epoch(None, 2):
        assert (ldb.mask == mask).all(), "its gradients wait for their step"
        optimizer.step()
        assert ldb.mask is None


def test_gradient_penalty():
    def backward(model):
        x = torch.randn(2, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (gradient.square().sum() + model(x).square().sum()).backward()

    counts = drop_counts(mlp(), backward, verify=False)
    assert counts["0"] > 0


# ---- windows -------------------------------------------------------------------------------------


def test_a_skipped_last_step_does_not_carry_its_mask_into_a_zero_grad_first_loop():
    model = mlp()
    ldb, optimizer = attach(model)
    for epoch in range(4):
        for number in ldb.epoch(range(3), epoch):
            optimizer.zero_grad()
            output = model(torch.randn(2, 8))
            assert (ldb.mask is not None) == (epoch % 2 == 1)
            output.sum().backward()
            if number < 2:  # the last step of each epoch is skipped, as for a loss that is NaN
                optimizer.step()


def test_a_forward_pass_that_raises_lifts_the_flags():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.fail = mlp(), False

        def forward(self, x):
            x = self.net(x)
            if self.fail:
                raise MemoryError("out of memory")
            return x

    model = Fails()
    ldb, optimizer = attach(model, Uniform(0.9))
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        assert ldb.mask.any()
        model.fail = True
        with pytest.raises(MemoryError):
            model(torch.randn(2, 8))
        assert all(flags(model).values())


def test_a_freeze_between_forward_and_backward_is_kept():
    model = mlp()
    ldb, optimizer = attach(model, Uniform(0.9))
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        output = model(torch.randn(2, 8))
        model[0].requires_grad_(False)
        output.sum().backward()
        optimizer.step()
    assert flags(model) == {name: not name.startswith("0.") for name in flags(model)}


def test_an_epoch_that_was_closed_does_not_iterate():
    model = mlp()
    ldb, _ = attach(model, schedule=ALWAYS)
    held = ldb.epoch([1, 2], 0)
    started = iter(ldb.epoch([1, 2], 1))
    ldb.end_epoch()
    assert list(started) == []
    with pytest.raises(EpochError, match="epoch 0 has ended"):
        iter(held)


def test_saving_ends_no_epoch():
    model = mlp()
    ldb, optimizer = attach(model, Uniform(0.9), schedule=ALWAYS)
    steps(ldb, model, optimizer, 0)
    masks = []
    for _ in ldb.epoch(range(3), 1):
        masks.append(dropped_names(ldb))
        ldb.state_dict()
        assert dropped_names(ldb) == masks[-1]
        model(torch.randn(2, 8)).sum().backward()
        ldb.state_dict()
        optimizer.step()
        optimizer.zero_grad()
    assert len(masks) == 3
    assert ldb.stats()["drop_steps"] == 5


# ---- loaders and states --------------------------------------------------------------------------


class Stream(IterableDataset):
    def __len__(self):
        return 16

    def __iter__(self):
        return iter(range(16))


@pytest.mark.parametrize("data", [Stream(), range(16)])
def test_lengths_count_the_batch_factor_during_and_after_an_epoch(data):
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(data, batch_size=4)
    for epoch, count in enumerate((4, 2)):
        batches = ldb.epoch(loader, epoch)
        assert len(batches) == count
        assert ldb.total_steps(loader, 4) == 12, "also while an epoch is open"
        assert sum(1 for _ in batches) == count
        assert len(batches) == count, "the epoch is over, its length is what it was"
    with pytest.raises(LoaderError, match="it is not a torch DataLoader"):
        ldb.total_steps([1, 2], 2)


def test_letting_go_of_the_controller_puts_the_batch_size_back():
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(range(16), batch_size=4)
    ldb.begin_epoch(1, loader)
    assert loader.batch_sampler.batch_size == 8
    del ldb
    gc.collect()
    assert loader.batch_sampler.batch_size == 4


def test_a_state_without_an_order_is_recorded_anew():
    model = mlp()
    ldb, optimizer = attach(model, schedule=ALWAYS)
    state = ldb.state_dict()
    steps(ldb, model, optimizer, 0)
    ldb.load_state_dict(state)
    with ldb.epoch(None, 0):
        assert ldb.mask is None
    with pytest.raises(StateError, match="no usable 'layers'"):
        ldb.load_state_dict(state | {"layers": {"0": 3}})


def test_numpy_integers_are_numbers():
    model = mlp()
    optimizer = sgd(model)
    schedule = Schedule(every=np.int64(1), start=np.int64(0))
    ldb = LayerDropBack(model, optimizer, schedule=schedule, seed=np.uint64(3))
    steps(ldb, model, optimizer, np.int64(0))
    assert ldb.stats()["drop_steps"] == 2
    ldb.load_state_dict(ldb.state_dict())


@pytest.mark.parametrize("epoch", [-1, 1.0, True, "first", None])
def test_what_is_no_epoch(epoch):
    ldb, _ = attach(mlp())
    with pytest.raises(EpochError, match="is no epoch.*counted from 0.*give its number"):
        ldb.epoch([], epoch)


def test_a_layer_that_was_unfrozen_but_is_in_no_optimizer_is_told_at_the_next_epoch():
    model = ZOO["frozen_stem"].model()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    ldb, _ = attach(model, "uniform", optimizer)
    model[0].requires_grad_(True)
    with pytest.raises(AttachError, match=r"in no optimizer: '0.weight', '0.bias'"):
        ldb.epoch([], 0)
