"""Errors say what happened, why, and what to do about it."""

import copy
import pickle

import pytest

from layerdropback import errors
from layerdropback.errors import AttachError, LayerDropBackError, explain, name_some


def test_a_text_has_a_fact_a_cause_and_a_cure():
    text = explain("rate is 2", "a rate is a chance", "give one in [0, 1)")
    assert text == "rate is 2. Cause: a rate is a chance. Cure: give one in [0, 1)."


def test_it_is_one_line_whatever_a_name_is_made_of():
    assert explain("no file a\nb", "c\r\nd", "e") == "no file a b. Cause: c d. Cure: e."


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "'a'"),
        (["a", "b", "c"], "'a', 'b', 'c'"),
        (list("abcdefg"), "'a', 'b', 'c', 'd', 'e' and 2 more"),
    ],
)
def test_of_many_names_the_first_few_are_listed(names, text):
    assert name_some(names) == text


def test_problems_are_counted_and_numbered():
    one, two = AttachError(["a"]), AttachError(["a", "b"], "cannot make this")
    assert str(one) == "cannot attach LayerDropBack: 1 problem\n  1. a"
    assert str(two) == "cannot make this: 2 problems\n  1. a\n  2. b"
    assert two.problems == ("a", "b")


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_is_sent_from_rank_to_rank(way):
    error = AttachError(["a", "b"], "cannot make this")
    twin = way(error)
    assert (type(twin), str(twin), twin.problems) == (AttachError, str(error), error.problems)


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, Exception)])
def test_one_base_catches_all_and_a_builtin_one_too(kind):
    assert issubclass(kind, LayerDropBackError)
    assert kind is LayerDropBackError or issubclass(kind, ValueError | RuntimeError)
