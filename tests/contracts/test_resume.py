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


class Opening(nn.Module):
    """Its loss reaches a part of it only from some pass on."""

    def __init__(self):
        super().__init__()
        self.stem, self.late, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.more = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

    def forward(self, number):
        torch.manual_seed(number)
        x = self.stem(torch.randn(2, 4))
        for layer in (*self.more, *([self.late] if number >= 5 else [])):
            x = torch.tanh(layer(x))
        return self.head(x)


def run_opening(strategy, schedule, epochs, first=0, state=None):
    """Masks of the steps from the first one on, and the states before each."""
    torch.manual_seed(0)
    model = Opening()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ldb = LayerDropBack(model, optimizer, strategy, schedule, seed=4)
    if state is not None:
        ldb.load_state_dict(state)
    masks, states = [], []
    for epoch in range(first // 4, epochs):
        for number in ldb.epoch(range(max(first, 4 * epoch), 4 * epoch + 4), epoch):
            states.append(ldb.state_dict())
            model(number).square().sum().backward()
            masks.append(None if ldb.mask is None else ldb.mask.tolist())
            optimizer.step()
            optimizer.zero_grad()
    return masks, states


@pytest.mark.parametrize("schedule", [Schedule(every=1, start=0), Schedule(), Schedule(steps=3)])
@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_a_run_goes_on_from_before_any_step(strategy, schedule):
    """Also between the step that first reaches a part, and the one that is recorded for it."""
    masks, states = run_opening(strategy, schedule, 5)
    assert any(mask is not None and any(mask) for mask in masks)
    for first, state in enumerate(states):
        if first:
            assert run_opening(strategy, schedule, 5, first, state)[0] == masks[first:], first


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
