"""What every strategy has in common."""

import json
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest

from facts_of import facts_of
from layerdropback import AttachError, Branch, Control, Truncate, Uniform
from layerdropback.strategies import STRATEGIES, Strategy, strategy_of
from layerdropback.strategies.base import ramped

KINDS = (Uniform, Truncate, Branch, Control)


@dataclass(frozen=True)
class Own(Strategy):
    """A user's own: the first layer, always."""

    name: ClassVar[str] = "own"


def test_without_more_it_drops_nothing():
    facts = facts_of(4)
    odds = Own().odds(facts, 0.5)
    assert odds.chances.tolist() == [0.0] * 4
    assert Own().switches(facts, np.zeros(4, dtype=bool)) == ()
    assert Own().check(facts) is None
    assert (Own().drops, Own().rate_text) == (True, "nothing dropped")


@pytest.mark.parametrize("kind", KINDS)
def test_names_stand_for_the_defaults(kind):
    assert STRATEGIES[kind.name] is kind
    assert strategy_of(kind.name) == kind()
    assert strategy_of(made := kind(keep=["a"])) is made


@pytest.mark.parametrize("given", ["adaptive", "none", "", 3, None, Uniform, ["uniform"]])
def test_a_strategy_that_there_is_not(given):
    words = (
        "there is no such strategy.*one of uniform, truncate, branch, blocks, control, or an object"
    )
    with pytest.raises(AttachError, match=words):
        strategy_of(given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"unit": "channel"}, "unit='channel' is not usable.*give one of layer, block, tensor"),
        ({"keep": "head"}, "keep='head' is not usable.*give a list of names or patterns"),
        ({"keep": [1]}, r"keep=\(1,\) is not usable. Cause: layers are kept by name"),
        ({"keep": None}, "keep=None is not usable"),
    ],
)
def test_what_makes_no_sense_is_an_error(kind, fields, words):
    first = f"cannot make this {kind.__name__}: 1 problem\n  1. {words}"
    with pytest.raises(AttachError, match=first):
        kind(**fields)


@pytest.mark.parametrize("kind", [Uniform, Branch, Truncate])
@pytest.mark.parametrize("pool", [1, 0, 2.5, 4097, True, "4"])
def test_a_pool_that_makes_no_sense(kind, pool):
    with pytest.raises(AttachError, match=f"pool={pool!r} is not usable.*from 2 to 4096, or None"):
        kind(pool=pool)
    assert kind(pool=4096).pool == 4096


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_frozen_and_equal_by_value(kind):
    made = kind(keep=["a", "b*"])
    assert made == kind(keep=("a", "b*"))
    assert hash(made) == hash(kind(keep=["a", "b*"]))
    assert made != kind()
    with pytest.raises(FrozenInstanceError):
        made.keep = ()


@pytest.mark.parametrize("kind", KINDS)
def test_its_state_is_what_json_has(kind):
    state = kind(keep=["a"]).to_state()
    assert json.loads(json.dumps(state)) == state
    assert (state["name"], state["keep"], state["unit"]) == (kind.name, ["a"], "layer")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("reach", [1.0, 0.99])
def test_a_ramp_is_as_wide_as_is_even(rate, reach):
    rates = [ramped(rate, position, reach) for position in np.linspace(0, 1, 11)]
    assert np.mean(rates) == pytest.approx(rate)
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(max(0.0, 2 * rate - reach))
    assert rates[-1] == pytest.approx(min(reach, 2 * rate))
