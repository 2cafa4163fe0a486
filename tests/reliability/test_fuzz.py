"""A little of ``fuzz.py`` with each run of the tests."""

from collections import Counter

import pytest

import fuzzed
import fuzzing

# `state` attaches a model; a step of it would warn of none.
pytestmark = pytest.mark.filterwarnings("ignore:the state was saved with other settings")


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return fuzzed.targets(tmp_path_factory.mktemp("fuzzed"))


@pytest.mark.parametrize("name", fuzzed.NAMES)
def test_any_bytes_give_an_object_or_our_own_error(targets, name):
    count = fuzzing.fuzz(targets[name], examples=60, number=0)
    assert count["executions"] == count["taken"] + count["refused"] >= 60
    assert count["refused"] > 0


@pytest.mark.parametrize("name", fuzzed.NAMES)
def test_good_files_are_taken(targets, name):
    """Otherwise the refusals would say nothing."""
    target = targets[name]
    good = target.whole[0] if target.values is None else target.values
    count = Counter()
    fuzzing.execute(target, good, count)
    assert count["taken"] == 1
