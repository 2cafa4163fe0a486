"""A run that is resumed goes on as the unbroken one, to the last bit."""

import io

import pytest
import torch
from torch import nn

from attached import attach, dropping
from layerdropback import LayerDropBack, Schedule
from zoo import ZOO

EPOCHS, STEPS = 4, 6


def run(steps_of, strategy, state=None, seed=0, **settings):
    """Train the ViT for some (epoch, batches) pairs, from a saved state if there is one."""
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, seed=seed, **settings)
    if state is not None:
        state = torch.load(io.BytesIO(state), weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ldb.load_state_dict(state["ldb"])
    masks, saved = [], []
    for epoch, numbers in steps_of:
        batches = entry.batches(STEPS)
        for batch in ldb.epoch([batches[number] for number in numbers], epoch):
            masks.append(None if ldb.mask is None else ldb.mask.tolist())
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            parts = {"model": model, "optimizer": optimizer, "ldb": ldb}
            file = io.BytesIO()
            torch.save({name: part.state_dict() for name, part in parts.items()}, file)
            saved.append(file.getvalue())
    return model, masks, saved


IN_PERIODS = {"schedule": Schedule(2, 1, steps=3, ramp="rising", length=24)}


@pytest.mark.parametrize(
    ("strategy", "settings", "breaks"),
    [
        pytest.param("uniform", {}, (3, 6, 8, 11, 12, 20), id="uniform"),
        pytest.param("truncate", {}, (3, 8, 12), id="truncate"),
        pytest.param("branch", {}, (3, 8, 12), id="branch"),
        pytest.param(dropping("uniform", unit="tensor", pool=3), {}, (8, 12), id="pool"),
        pytest.param("uniform", IN_PERIODS, (8, 12), id="rising in periods"),
    ],
)
def test_a_resumed_run_goes_on_bit_for_bit(strategy, settings, breaks):
    everything = [(epoch, range(STEPS)) for epoch in range(EPOCHS)]
    whole, masks, saved = run(everything, strategy, seed=9, **settings)
    assert any(mask is not None for mask in masks)
    for done in breaks:
        epoch, number = divmod(done, STEPS)
        rest = [(epoch, range(number, STEPS)), *everything[epoch + 1 :]]
        resumed, rest_masks, _ = run(rest, strategy, saved[done - 1], seed=1, **settings)
        assert rest_masks == masks[done:], done
        for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
            assert torch.equal(one, other), done


def attached(strategy):
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(7)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ldb = LayerDropBack(model, optimizer, strategy, Schedule(every=1, start=0))
    return model, optimizer, ldb


def steps(made, epoch, count):
    model, optimizer, ldb = made
    states = []
    for batch in ldb.epoch([torch.ones(2, 4)] * count, epoch):
        model(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        states.append(ldb.state_dict())
    return states


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_the_epochs_shares_go_on_where_they_were_saved(strategy):
    """To the last bit, so that a resumed run reports what an unbroken one does."""
    unbroken, resumed = attached(strategy), attached(strategy)
    states = steps(unbroken, 0, 9)
    resumed[2].load_state_dict(states[4])
    steps(resumed, 0, 4)
    assert resumed[2].stats() == unbroken[2].stats()
    shares = [resumed[2].stats()[key] for key in ("share_dropped", "backward_saved")]
    assert 0 < shares[0] < 1
    assert (shares[1] or 0) > 0 or strategy == "uniform"
    steps(resumed, 1, 3)
    steps(unbroken, 1, 3)
    assert resumed[2].stats() == unbroken[2].stats(), "the next epoch counts anew"
