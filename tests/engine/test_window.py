"""What a window says by itself, and that two of them share nothing."""

from dataclasses import FrozenInstanceError

import pytest

from layerdropback.engine.window import FULL, Decision, Seen, Window


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
