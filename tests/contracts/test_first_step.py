"""The first step is recorded, and full; but what a fixed cut leaves out for good gets no state."""

import pytest
import torch

from attached import assert_same_weights
from layerdropback import LayerDropBack, Schedule, Truncate, Uniform
from turns import adamw, backward, made

ALWAYS = Schedule(every=1, start=0)


def stepped(strategy, schedule=ALWAYS, batches=1, **settings):
    """One optimizer step; the names of what had a gradient in it."""
    model = made()
    optimizer, graded = adamw(model), []
    optimizer.register_step_pre_hook(
        lambda *_: graded.extend(n for n, p in model.named_parameters() if p.grad is not None)
    )
    ldb = LayerDropBack(model, optimizer, strategy, schedule, verify=True, **settings)
    with ldb.epoch(None, 0):
        for number in range(batches):
            backward(model, number)
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer, ldb, graded


@pytest.mark.parametrize("batches", [1, 3])
def test_what_a_fixed_cut_leaves_out_gets_no_state_from_the_first_step_on(batches):
    start = made()
    model, optimizer, ldb, _ = stepped(Truncate(0.5), batches=batches)
    names = dict(start.named_parameters())
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, names[n])}
    stated = {n for n, p in model.named_parameters() if p in optimizer.state}
    assert stated == moved
    assert {n.split(".")[0] for n in names} - {n.split(".")[0] for n in stated} == {"embed"}
    assert 0 < len(stated) < len(names) / 2
    stats = ldb.stats()
    assert (stats["drop_steps"], stats["backward_saved"]) == (1, 0)


def test_its_learning_rate_is_that_of_drop_steps():
    one = stepped(Truncate(0.5), lr_scale=3.0)[0]
    other = made()
    optimizer = torch.optim.AdamW(other.parameters(), lr=0.03)
    ldb = LayerDropBack(other, optimizer, Truncate(0.5), ALWAYS)
    with ldb.epoch(None, 0):
        backward(other, 0)
        optimizer.step()
    assert_same_weights(one, other)


@pytest.mark.parametrize(
    ("strategy", "schedule"),
    [
        (Uniform(0.5), ALWAYS),
        (Truncate(0.5, "uniform"), ALWAYS),  # another cut in each step
        (Truncate(0.5), Schedule(every=2, start=1)),  # the first epoch is full
    ],
)
def test_others_train_everything_in_it(strategy, schedule):
    model, optimizer, ldb, _ = stepped(strategy, schedule)
    assert len(optimizer.state) == len(list(model.parameters()))
    assert ldb.stats()["drop_steps"] == 0
