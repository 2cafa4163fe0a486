"""Budgets are read, and the largest batch is found in few looks."""

import random
import sys

import pytest

from layerdropback import UsageError
from layerdropback.lab.memory.fitting import MOST, budget_of, largest_batch


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GiB", 24 * 2**30), ("80 GB", 80 * 10**9), ("1.5gib", 3 * 2**29), ("512MiB", 2**29)],
)
def test_budgets_are_read(text, size):
    assert budget_of(text) == size


@pytest.mark.parametrize("text", ["24", "GiB", "-1GiB", "0GB", "24 GiB each", "1e3GB", ""])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(UsageError, match="is not usable. Cause: an amount above 0 with GiB"):
        budget_of(text)


@pytest.mark.parametrize("seed", range(40))
def test_the_largest_is_found_in_few_looks(seed):
    draw = random.Random(seed)
    fixed, each, jump = draw.randint(0, 5000), draw.randint(1, 200), draw.choice([0, 400])
    budget, looks = draw.randint(1, 20_000), []

    def peak(rows):
        looks.append(rows)
        return fixed + each * rows + 13 * (rows // 7) + (jump if rows > 9 else 0)

    guess = draw.choice([None, 1, 50, 10**9])
    found = largest_batch(peak, budget, draw.choice([1, 4, 32]), guess)
    assert len(looks) == len(set(looks)) <= 12
    assert found == 0 or peak(found) <= budget
    assert peak(found + 1) > budget


def test_nothing_fits_or_everything():
    assert largest_batch(lambda rows: 11, 10) == 0
    assert largest_batch(lambda rows: 5, 10) == MOST


def test_a_batch_that_cannot_be_trained_does_not_fit():
    assert largest_batch(lambda rows: sys.maxsize if rows < 2 else rows, 5, start=4) == 5
    assert largest_batch(lambda rows: sys.maxsize if rows < 2 else 10 * rows, 5, start=4) == 0
