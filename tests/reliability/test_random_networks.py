"""Random networks, trained in random ways beside a reference: every promise, at every step.

Ten thousand of them: ``make networks``. The seed of one that fails shows it alone:
``python tests/support/many_networks.py --count 1 --show --seed ...``.
"""

from collections import Counter

import pytest

from trial import attempt, described

COUNT, PARTS = 200, 8


@pytest.fixture(scope="module")
def outcomes():
    return {}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds_in_random_networks(part, outcomes):
    for seed in range(part, COUNT, PARTS):
        outcomes[seed] = outcome = attempt(seed)
        if outcome.failure is not None:
            pytest.fail(f"{described(seed)}\n{outcome.failure}")


def test_they_tried_what_they_are_for(outcomes):
    """Else a change that makes every trial end early would pass."""
    found = Counter()
    for seed in range(COUNT):
        one = outcomes.get(seed) or attempt(seed)
        found.update(steps=one.steps, dropping=one.dropping, resumed=one.resumed)
        found.update(weighed=one.weighed, refused=one.refused is not None)
    assert found["steps"] > 5 * COUNT
    assert found["dropping"] > COUNT
    assert found["resumed"] > COUNT / 3
    assert found["weighed"] > COUNT / 50
    assert found["refused"] < COUNT / 3
