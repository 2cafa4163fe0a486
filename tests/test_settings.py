"""Everything that a user chooses, and whether it fits together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback import AttachError, Blocks, Branch, Control, Schedule, Truncate, Uniform
from layerdropback.settings import Settings


def test_the_defaults():
    settings = Settings()
    assert settings == Settings(Uniform(0.5), Schedule(2, 1), 1.0, 1, 0, False)
    assert settings.ever_drops


@given(st.floats(0, 0.99))
def test_factors(rate):
    assert Settings(lr_scale="inverse").lr_factor(rate) == pytest.approx(1 / (1 - rate))
    assert Settings(lr_scale=1.7).lr_factor(rate) == 1.7
    assert Settings().lr_factor(rate) == 1


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 30))
def test_rate_zero_never_drops(every, start, epoch):
    schedule = Schedule(every, start)
    assert not Settings(Uniform(0), schedule).is_drop_epoch(epoch)
    assert Settings(Uniform(), schedule).is_drop_epoch(epoch) == schedule.is_drop_epoch(epoch)
    assert Settings(Control(), schedule).is_drop_epoch(epoch) == schedule.is_drop_epoch(epoch)


@pytest.mark.parametrize("strategy", [Uniform(0), Truncate(0), Branch(0), Uniform(0, rates={})])
def test_where_nothing_drops_there_are_no_drop_epochs(strategy):
    assert not Settings(strategy).ever_drops


@pytest.mark.parametrize("strategy", [Control(), Uniform(0, rates={"a": 0.1}), Truncate(0.1)])
def test_where_there_are_drop_epochs(strategy):
    assert Settings(strategy).ever_drops


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategy": "uniform"}, "strategy='uniform' is not usable.*it is a str.*give Uniform"),
        ({"schedule": 2}, "schedule=2 is not usable.*give Schedule"),
        ({"lr_scale": 0}, "lr_scale=0 is not usable.*above 0, or 'inverse'"),
        ({"lr_scale": "double"}, "lr_scale='double' is not usable"),
        ({"lr_scale": float("nan")}, "lr_scale=nan is not usable"),
        ({"batch_scale": -1}, "batch_scale=-1 is not usable.*multiplies the batch size"),
        ({"batch_scale": True}, "batch_scale=True is not usable"),
        ({"seed": -1}, r"seed=-1 is not usable.*an integer in \[0, 2\*\*64\)"),
        ({"seed": 2**64}, "seed=18446744073709551616 is not usable"),
        ({"seed": 1.0}, "seed=1.0 is not usable"),
        (
            {"schedule": Schedule(steps=5), "batch_scale": 2},
            "steps=5 and batch_scale=2 exclude each other.*between epochs only",
        ),
        (
            {"strategy": Control(), "lr_scale": "inverse"},
            "lr_scale='inverse' is not usable with Control.*it has no drop rate",
        ),
    ],
)
def test_what_makes_no_sense_is_an_error(settings, words):
    with pytest.raises(AttachError, match=f"cannot make this LayerDropBack: 1 problem\n.*{words}"):
        Settings(**settings)


def test_all_problems_come_at_once():
    with pytest.raises(AttachError, match="4 problems"):
        Settings("uniform", None, "fast", 0)


@pytest.mark.parametrize(
    "strategy",
    [
        Uniform(keep=["a*"], rates={"b": 0.1}, pool=3),
        Truncate(unit="block"),
        Branch(),
        Blocks(),
        Control(),
    ],
)
def test_the_state_is_what_json_has(strategy):
    state = Settings(strategy, lr_scale="inverse" if strategy.has_rate else 2).to_state()
    assert json.loads(json.dumps(state)) == state
    assert state["strategy"]["name"] == strategy.name
    assert state["schedule"] == Schedule().with_pace(*strategy.pace).to_state()
    assert state.keys() == {
        "strategy",
        "schedule",
        "lr_scale",
        "batch_scale",
        "seed",
        "verify",
    }
