"""By default some combinations of arguments run: every value of each is among them."""

import itertools
from types import SimpleNamespace

import pytest

from in_turn import is_shown

SLOW = pytest.param("slow", marks=pytest.mark.slow)


def shown(turns, **axes):
    """The combinations of values that run, of a test with the mark for these arguments."""
    marks = [pytest.mark.parametrize(name, values).mark for name, values in axes.items()]
    marks += [pytest.mark.in_turn(*turns).mark]
    found = []
    for values in itertools.product(*axes.values()):
        values = [value.values[0] if value is SLOW else value for value in values]
        item = SimpleNamespace(
            nodeid="a test",
            callspec=SimpleNamespace(params=dict(zip(axes, values, strict=True))),
            iter_markers=lambda name: [mark for mark in marks if mark.name == name],
        )
        if is_shown(item) and "slow" not in values:
            found.append("".join(values))
    return found


def test_alone_every_value_runs():
    assert shown(["strategy"], strategy="abc") == ["a", "b", "c"]
    assert shown([], strategy="ab", unit="xy") == ["ax", "ay", "bx", "by"]


def test_with_others_they_take_turns():
    assert shown(["strategy"], strategy="abc", way="pqrstu") == ["ap", "as", "bq", "bt", "cr", "cu"]
    assert shown(["strategy"], strategy="abc", way="pq") == ["ap", "bq", "cp"]


def test_two_that_take_turns_do_so_together():
    found = shown(["strategy", "unit"], strategy="ab", unit="xy", way="pqrst")
    assert sorted({text[:2] for text in found}) == ["ax", "ay", "bx", "by"]
    assert sorted(text[2] for text in found) == list("pqrst")


def test_what_is_slow_by_itself_takes_no_turn():
    assert shown(["strategy"], strategy="ab", way=["p", SLOW, "q", SLOW]) == ["ap", "bq"]


def test_an_argument_that_is_not_there_is_told():
    with pytest.raises(AssertionError, match="a test has no arguments {'strategie'}"):
        shown(["strategie"], strategy="ab", way="pq")
