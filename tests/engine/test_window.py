"""What a window says by itself, and how far a run has come."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from layerdropback.engine.window import FULL, Counters, Decision, Seen, Window


def test_a_full_window_holds_nothing():
    assert FULL.mask is None
    assert (FULL.parameters, FULL.switched, FULL.lr_factor) == ((), (), 1.0)


def test_a_window_does_not_change_while_it_is_in_force():
    with pytest.raises(FrozenInstanceError):
        Window().lr_factor = 2.0


def test_a_decision_is_told_by_its_values():
    """A window is opened anew only where one differs."""
    assert Decision(heads=frozenset({1, 2})) == Decision(heads=frozenset({2, 1}))
    for other in (Decision(records=True), Decision(heads=frozenset()), Decision(can_drop=False)):
        assert other != Decision()


def test_each_window_sees_its_own():
    one, other = Seen(), Seen()
    one.stepped.add(1)
    assert (other.forward, other.backward, other.stepped) == (False, False, set())
    assert other.decision == Decision()


def mask(*values):
    return np.array(values, dtype=bool)


def test_steps_and_what_was_dropped():
    counters = Counters(layers=3)
    counters.count(None, reached=0)  # the first step, in which nothing is known
    counters.count(None, reached=2)
    counters.count(mask(1, 0, 0), reached=2)
    counters.count(mask(1, 1, 0), reached=2)
    assert (counters.step, counters.drop_steps, counters.epoch_steps) == (4, 2, 4)
    assert counters.times_dropped.tolist() == [2, 1, 0]
    assert counters.share == (0.5 + 1.0) / 4, "of the layers that the loss reaches"


def test_a_mask_in_which_nothing_drops_is_a_drop_step():
    counters = Counters(layers=2)
    counters.count(mask(0, 0), reached=2)
    assert (counters.drop_steps, counters.share) == (1, 0.0)


def test_an_epochs_share_begins_anew():
    counters = Counters(layers=1)
    counters.count(mask(1), reached=1)
    counters.begin_epoch(1)
    assert (counters.step, counters.drop_steps, counters.share) == (1, 1, 0.0)
    counters.count(None, reached=1)
    assert (counters.step, counters.epoch_steps) == (2, 1)


def test_what_is_saved_is_a_mean_over_all_steps():
    counters = Counters(layers=1)
    assert counters.saved == 0
    counters.count(None, reached=1)
    counters.count(mask(1), reached=1, saved=0.5)
    assert counters.saved == 0.25
    counters.count(mask(1), reached=1, saved=None)
    counters.count(mask(1), reached=1, saved=0.5)
    assert counters.saved is None, "of one step it is not known"
    assert Counters.from_state(counters.to_state()).saved is None
    counters.begin_epoch(1)
    counters.count(mask(1), reached=1, saved=0.5)
    assert counters.saved == 0.5


def test_before_all_steps_and_with_nothing_reached():
    assert Counters(layers=1).share == 0
    counters = Counters(layers=1)
    counters.count(mask(0), reached=0)
    assert counters.share == 0


def test_a_state_is_plain_and_comes_back():
    counters = Counters(layers=2)
    counters.begin_epoch(3)
    counters.count(mask(1, 0), reached=2)
    state = counters.to_state()
    assert json.loads(json.dumps(state)) == state
    again = Counters.from_state(state | {"other": 1})
    assert again.to_state() == state
    again.count(mask(1, 1), reached=2)
    assert state["times_dropped"] == [1, 0], "a copy"
    assert counters.to_state() == state


def test_a_saved_epoch_goes_on_once():
    counters = Counters(layers=1)
    counters.begin_epoch(3)
    counters.count(None, reached=1)
    for epoch, steps in ((3, 1), (4, 0)):
        again = Counters.from_state(counters.to_state())
        assert not again.in_epoch
        again.begin_epoch(epoch)
        assert (again.epoch, again.in_epoch, again.epoch_steps) == (epoch, True, steps)
        again.begin_epoch(epoch)
        assert again.epoch_steps == 0
