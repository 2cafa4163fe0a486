"""How much memory there is, and the largest batch that fits."""

import re
from collections.abc import Callable

from ...errors import UsageError, explain

_UNITS = {"GIB": 2**30, "MIB": 2**20, "GB": 10**9, "MB": 10**6}

MOST = 65_536  # samples of a batch that are looked at


def budget_of(text: str) -> int:
    """Read an amount of memory, in bytes.

    Raises:
        UsageError: it is none.

    Example:
        >>> budget_of("24GiB"), budget_of("1.5 GB")
        (25769803776, 1500000000)
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(GiB|MiB|GB|MB)\s*", text, re.IGNORECASE)
    amount = float(found[1]) * _UNITS[found[2].upper()] if found else 0.0
    size = round(amount) if amount < 2**63 else 0
    if size <= 0:
        cause = "an amount above 0 with GiB, GB, MiB or MB is needed, up to 2**63 bytes"
        raise UsageError(explain(f"--budget {text} is not usable", cause, "give 24GiB, say"))
    return size


def largest_batch(
    peak: Callable[[int], int], budget: int, start: int = 1, guess: int | None = None
) -> int:
    """The most samples of a batch with which a step's peak is within the budget; 0 for none.

    Peaks grow nearly in proportion, so that a few are enough: that of `start` samples, then that of
    a guess. They never fall with more samples.

    Example:
        >>> largest_batch(lambda rows: 1000 + 7 * rows, 2000)
        142
    """
    known = {0: 0}

    def fits(rows: int) -> bool:
        if rows not in known:
            known[rows] = peak(rows)
        return known[rows] <= budget

    good, bad = 0, MOST + 1  # fits, and is too large or too many
    looked = start
    while bad - good > 1:
        if fits(looked):
            good = looked
        else:
            bad = looked
        looked, guess = _between(good, bad, guess or _guess(known, budget, good, bad)), None
    return good


def _between(good: int, bad: int, wanted: int) -> int:
    if wanted == good:  # the border may be here: look at its other side
        wanted += 1
    return max(good + 1, min(wanted, bad - 1, MOST))


def _guess(known: dict[int, int], budget: int, good: int, bad: int) -> int:
    """Where a straight line through the two nearest known sizes meets the budget."""
    sizes = sorted(known)
    low, high = (good, bad) if bad in known else (sizes[-2], good)
    if not low:  # one size alone is known, and all of it may lie in what does not grow
        return 2 * good if good else bad // 2
    slope = (known[high] - known[low]) / (high - low)
    return int(low + (budget - known[low]) / slope) if slope > 0 else MOST
