"""When layers drop, and how far a drop rate has changed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback import AttachError, Schedule


@given(st.integers(1, 7), st.integers(0, 9), st.integers(0, 60))
def test_drop_epochs_come_every_so_often_from_the_start(every, start, epoch):
    schedule = Schedule(every, start)
    drops = [e for e in range(epoch + 1) if schedule.is_drop_epoch(e)]
    assert drops == list(range(start, epoch + 1, every))


def test_full_and_drop_epochs_alternate_by_default():
    drops = [epoch for epoch in range(8) if Schedule().is_drop_epoch(epoch)]
    assert drops == [1, 3, 5, 7]


ramps = st.sampled_from(["constant", "rising", "falling"])


@given(
    st.integers(1, 5),
    st.integers(0, 5),
    ramps,
    st.floats(0, 0.9),
    st.integers(1, 40),
    st.none() | st.integers(1, 7),
)
def test_a_ramps_mean_is_the_middle_and_the_last_share_is_full(
    every, start, ramp, anneal, periods, steps
):
    length = periods * (steps or 1)
    schedule = Schedule(every, start, steps, ramp, anneal, length)
    drops = [p for p in range(periods) if schedule.is_drop_epoch(p)]
    end = periods if anneal == 0 else math.ceil(periods * (1 - anneal) - 1e-9)
    assert drops == list(range(start, end, every))
    positions = [schedule.position(p) for p in drops]
    assert all(0 < position < 1 for position in positions)
    if positions:
        assert sum(positions) / len(positions) == pytest.approx(0.5)
    order = {"rising": sorted(positions), "falling": sorted(positions, reverse=True)}
    assert positions == order.get(ramp, [0.5] * len(positions))


def test_periods_of_steps_take_the_place_of_epochs():
    schedule = Schedule(every=2, start=1, steps=10)
    drops = [s for s in range(50) if schedule.is_drop_epoch(schedule.period(epoch=0, step=s))]
    assert drops == [*range(10, 20), *range(30, 40)]


def test_without_them_a_period_is_an_epoch():
    assert Schedule().period(epoch=3, step=99) == 3


def test_a_run_longer_than_was_said_goes_on_as_in_the_end():
    rising = Schedule(every=1, start=0, ramp="rising", length=4)
    assert not rising.is_drop_epoch(4)
    assert rising.position(9) == 1
    assert Schedule(every=1, start=0, length=4).is_drop_epoch(9)


def test_a_run_that_ends_before_its_first_drop_epoch_has_none():
    schedule = Schedule(start=9, ramp="rising", length=4)
    assert not any(schedule.is_drop_epoch(epoch) for epoch in range(20))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"every": 0}, "every=0 is not usable. Cause: epochs are counted. Cure: give 1 or more"),
        ({"every": 1.5}, "every=1.5 is not usable"),
        ({"every": True}, "every=True is not usable"),
        ({"start": -1}, "start=-1 is not usable.*give 0 or more"),
        ({"steps": 0}, "steps=0 is not usable.*steps are counted"),
        ({"steps": 2.5}, "steps=2.5 is not usable.*an integer from 1 on, or None"),
        ({"ramp": "up", "length": 5}, "ramp='up' is not usable.*constant, rising, falling"),
        ({"ramp": "rising"}, "ramp='rising' needs a length.*give length="),
        ({"anneal": 0.1}, "anneal=0.1 needs a length. Cause: it refers to the whole run"),
        ({"anneal": 1.0, "length": 5}, "anneal=1.0 is not usable.*a share of the run"),
        ({"anneal": "0.5", "length": 5}, "anneal='0.5' is not usable"),
        ({"length": 0}, "length=0 is not usable.*a run has some length"),
        ({"length": float("inf")}, "length=inf is not usable"),
    ],
)
def test_what_makes_no_sense_is_an_error(settings, words):
    with pytest.raises(AttachError, match=f"cannot make this Schedule: 1 problem\n.*{words}"):
        Schedule(**settings)


def test_all_problems_come_at_once():
    with pytest.raises(AttachError, match="3 problems") as error:
        Schedule(every=0, start=-1, ramp="falling")
    assert [text.split()[0] for text in error.value.problems] == [
        "every=0",
        "start=-1",
        "ramp='falling'",
    ]


def test_it_is_frozen_equal_by_value_and_plain_in_a_state():
    assert Schedule(2, 1) == Schedule().with_pace(2, 1, None)
    assert hash(Schedule(2, 1)) == hash(Schedule(2, 1))
    assert Schedule(2, 1).to_state() == {
        "every": 2,
        "start": 1,
        "steps": None,
        "ramp": "constant",
        "anneal": 0.0,
        "length": None,
    }
