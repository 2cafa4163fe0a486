import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.schedule import Schedule


@given(st.integers(1, 7), st.integers(0, 9), st.integers(0, 60))
def test_drop_epochs_come_every_so_often_from_the_start(every, start, epoch):
    schedule = Schedule(0.5, every, start)
    drops = [e for e in range(epoch + 1) if schedule.is_drop_epoch(e)]
    assert drops == list(range(start, epoch + 1, every))


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 30))
def test_rate_zero_never_drops(every, start, epoch):
    assert not Schedule(0.0, every, start).is_drop_epoch(epoch)


def test_the_papers_epochs():
    drops = [epoch for epoch in range(8) if Schedule().is_drop_epoch(epoch)]
    assert drops == [1, 3, 5, 7]


@given(st.floats(0, 0.99))
def test_factors(rate):
    assert Schedule(lr_scale="inverse").lr_factor(rate) == pytest.approx(1 / (1 - rate))
    assert Schedule(lr_scale=1.7).lr_factor(rate) == 1.7


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
    every, start, ramp, anneal, periods, period_steps
):
    length = periods * (period_steps or 1)
    schedule = Schedule(
        0.5, every, start, ramp=ramp, anneal=anneal, period_steps=period_steps, length=length
    )
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
    schedule = Schedule(every=2, start=1, period_steps=10)
    drops = [s for s in range(50) if schedule.is_drop_epoch(schedule.period(epoch=0, step=s))]
    assert drops == [*range(10, 20), *range(30, 40)]


def test_a_run_longer_than_was_said_goes_on_as_in_the_end():
    rising = Schedule(every=1, start=0, ramp="rising", length=4)
    assert not rising.is_drop_epoch(4)
    assert rising.position(9) == 1
    assert Schedule(every=1, start=0, length=4).is_drop_epoch(9)
