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
