"""Ramps, a full end, step periods and pools of masks, in training loops."""

import numpy as np
import pytest

from attached import attach, dropping, each_strategy
from layerdropback import Schedule
from zoo import ZOO


def train(schedule, strategy="uniform", epochs=6, steps=4):
    """The controller, and for each step its epoch, its mask or None, and whether it drops."""
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, schedule=schedule)
    found = []
    for epoch in range(epochs):
        for batch in ldb.epoch(entry.batches(steps), epoch):
            found.append((epoch, ldb.mask, ldb.is_drop_epoch))
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
    return ldb, found


@each_strategy
@pytest.mark.parametrize("ramp", ["rising", "falling"])
def test_a_ramp_drops_more_and_more_or_less_and_less(ramp, strategy):
    schedule = Schedule(every=1, ramp=ramp, length=10)
    _, found = train(schedule, dropping(strategy, 0.4), epochs=10, steps=6)
    dropped = np.array([0 if mask is None else mask.sum() for _, mask, _ in found]).reshape(10, 6)
    assert dropped[0].sum() == 0
    thirds = dropped[1:].reshape(3, -1).mean(axis=1)
    assert (np.diff(thirds) > 0).all() if ramp == "rising" else (np.diff(thirds) < 0).all()


@each_strategy
def test_the_end_is_trained_in_full(strategy):
    _, found = train(Schedule(every=1, anneal=0.5, length=8), strategy, epochs=8)
    modes = [any(mask is not None for e, mask, _ in found if e == epoch) for epoch in range(8)]
    assert modes == [False, True, True, True, False, False, False, False]


@each_strategy
def test_periods_of_steps_ignore_the_epochs(strategy):
    """Two epochs of twelve steps, in periods of four: full, drop, full, drop, full, drop."""
    ldb, found = train(Schedule(every=2, start=1, steps=4), strategy, 2, 12)
    drops = [mask is not None for _, mask, _ in found]
    assert drops == ([False] * 4 + [True] * 4) * 3
    assert [is_drop for _, _, is_drop in found] == drops
    assert ldb.stats()["drop_steps"] == 12
    assert not ldb.is_drop_epoch


@each_strategy
def test_a_pool_holds_few_masks(strategy):
    ldb, found = train(Schedule(every=1, start=1), dropping(strategy, pool=4), 5, 8)
    drawn = [tuple(mask) for _, mask, _ in found if mask is not None]
    assert len(drawn) == 32
    assert 2 <= len(set(drawn)) <= 4
    if strategy != "truncate":  # at rate 0.5 each is in just two masks of four
        times = [n for n in ldb.stats()["times_dropped"].values() if n]
        assert times
        assert set(times) == {16}
