"""Fields that a user sets, and what is wrong with what was set."""

import math
from dataclasses import dataclass, fields
from decimal import Decimal

import numpy as np
import pytest

from layerdropback import AttachError
from layerdropback.option import (
    is_count,
    is_number,
    is_share,
    names_of,
    option,
    plain,
    require,
    unknown,
    unusable,
)


def test_an_option_holds_its_default_and_its_words():
    @dataclass(frozen=True)
    class Some:
        rate: float = option(0.5, "A chance.", ("a", "b"), flag="drop_rate", group="Data")
        plain: int = option(3, "A number.")

    assert (Some().rate, Some().plain) == (0.5, 3)
    rate, plain = (dict(entry.metadata) for entry in fields(Some))
    assert rate == {
        "help": "A chance.",
        "choices": ("a", "b"),
        "flag": "drop_rate",
        "group": "Data",
    }
    assert plain == {"help": "A number.", "choices": (), "flag": None, "group": "Dropping"}


@pytest.mark.parametrize("value", [0, 1, -2.5, 1e300, np.float64(0.5), np.float32(0.5), np.int8(1)])
def test_numbers(value):
    assert is_number(value)


NO_NUMBERS = [True, None, "1", math.nan, math.inf, -math.inf, 1j, Decimal(1), np.float32("nan")]


@pytest.mark.parametrize("value", [*NO_NUMBERS, pytest.param(10**400, id="too large for a float")])
def test_what_is_no_number(value):
    assert not is_number(value)


@pytest.mark.parametrize("value", [0, 3, 2**64, np.int64(3)])
def test_counts(value):
    assert is_count(value)


@pytest.mark.parametrize("value", [-1, 2.0, True, None, "3", np.float64(3)])
def test_what_is_no_count(value):
    assert not is_count(value)


def test_a_count_from_some_number_on():
    assert is_count(2, least=2)
    assert not is_count(1, least=2)


@pytest.mark.parametrize(
    ("value", "good"),
    [(0, True), (0.999, True), (1, False), (-0.1, False), (True, False), ("0", False)],
)
def test_shares(value, good):
    assert is_share(value) is good


def test_a_problem_has_its_three_parts():
    (text,) = unusable(False, "rate", 2, "it is a chance", "give a number in [0, 1)")
    assert text == ("rate=2 is not usable. Cause: it is a chance. Cure: give a number in [0, 1).")
    assert not list(unusable(True, "rate", 0.5, "", ""))
    (text,) = unknown(("a", "b"), "kind", 3)
    assert text == "kind=3 is not usable. Cause: there is no such kind. Cure: give one of a, b."
    assert not list(unknown(("a", "b"), "kind", "b"))


def test_problems_are_raised_together():
    require([], "Thing")
    with pytest.raises(AttachError, match="cannot make this Thing: 2 problems\n  1. a\n  2. b"):
        require(iter(["a", "b"]), "Thing")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["b", "a"], ("b", "a")),
        (("a", "b"), ("a", "b")),
        ("a", "a"),
        (None, None),
        # Sorted, for each process has another order of them, and settings must be the same.
        (set("hgfedcba"), tuple("abcdefgh")),
        (frozenset("ba"), ("a", "b")),
        ({1, "a"}, (1, "a")),
    ],
)
def test_names_are_a_tuple_or_left_to_be_refused(given, names):
    assert names_of(given) == names


def test_plain_values():
    given = {"a": (np.int64(3), np.float32(0.5)), "b": {"c": [True, None, "d", 2, 0.5]}}
    made = plain(given)
    assert made == {"a": [3, 0.5], "b": {"c": [True, None, "d", 2, 0.5]}}
    assert [type(value) for value in made["a"]] == [int, float]
    assert made["b"]["c"][0] is True
