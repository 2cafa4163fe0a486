"""Intervals and tests over seeds; the distribution is SciPy's.

``scipy.stats`` has both (``ttest_1samp``), but takes no spread from outside, which `interval` must:
equal accuracies on a small test would have an interval of no width. Nor is it quick to import.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Confidence of every interval; each one-sided test errs with half of the rest.
CONFIDENCE = 0.95
ERROR = (1 - CONFIDENCE) / 2

# No number of seeds above this is worth naming.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the t interval around it.

    Attributes:
        mean: of the values; nan where there is none.
        low: lower end; minus infinity where fewer than two values say nothing of their spread.
        high: upper end; infinity likewise.
        spread: the values' standard deviation, or the floor that stood in for it.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    spread: float
    n: int

    def as_text(self, form: str) -> str:
        """The mean with its ends, where it has any, in a form that `format` takes.

        Example:
            >>> Interval(1.0, 0.5, 1.5, 0.2, 3).as_text(".1f")
            '1.0 [0.5, 1.5]'
        """
        ends = "" if self.n < 2 else f" [{self.low:{form}}, {self.high:{form}}]"
        return f"{self.mean:{form}}{ends}"


def interval(values: Sequence[float], least_spread: float = 0.0) -> Interval:
    """Student's t interval of a mean.

    Args:
        values: one for each seed.
        least_spread: a standard deviation below which the values' own is not believed. Three
            accuracies that happen to be equal are no proof that a fourth would be.

    Example:
        >>> found = interval([1.0, 2.0, 3.0])
        >>> round(found.low, 2), found.mean, round(found.high, 2)
        (-0.48, 2.0, 4.48)
        >>> interval([1.0]).high
        inf
    """
    from scipy import special

    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, math.nan, n)
    spread = max(float(np.std(values, ddof=1)), least_spread)
    if spread == 0:
        return Interval(mean, mean, mean, 0.0, n)
    reach = float(special.stdtrit(n - 1, 1 - ERROR)) * spread / math.sqrt(n)
    return Interval(mean, mean - reach, mean + reach, spread, n)


def chance(found: Interval, bound: float, side: Literal["above", "below"]) -> float:
    """How likely a mean this far on one side of a bound is, were the true one at the bound.

    The p value of a one-sided t test that the true mean is on that side; 1 where there are fewer
    than two values.

    Example:
        >>> p = chance(interval([1.0, 2.0, 3.0]), 0.0, "above")
        >>> round(p, 3)
        0.037
    """
    from scipy import special

    if found.n < 2:
        return 1.0
    distance = found.mean - bound if side == "above" else bound - found.mean
    if found.spread == 0:
        return 0.0 if distance > 0 else 1.0
    return float(special.stdtr(found.n - 1, -distance * math.sqrt(found.n) / found.spread))


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """P values corrected for having asked several questions (Holm 1979, step down).

    What is at most e then is wrong for any of them with probability e at most. SciPy has no such
    correction: its ``false_discovery_control`` keeps another promise.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.02})
        {'a': 0.03, 'b': 0.04, 'c': 0.04}
    """
    found: dict[str, float] = {}
    least = 0.0
    ordered = sorted(chances.items(), key=lambda entry: entry[1])
    for rank, (name, value) in enumerate(ordered):
        least = max(least, min(1.0, value * (len(ordered) - rank)))
        found[name] = least
    return {name: found[name] for name in chances}


def seeds_needed(spread: float, width: float, questions: int = 1) -> int | None:
    """Seeds with which an interval would be about this wide; None: even `MOST_SEEDS` are too few.

    Args:
        spread: standard deviation of the paired differences.
        width: of the whole interval.
        questions: asked at once; Holm's first step divides the error by it.

    Example:
        >>> seeds_needed(0.3, 0.5)
        9
    """
    from scipy import special

    counts = np.arange(2, MOST_SEEDS + 1)
    reach = special.stdtrit(counts - 1, 1 - ERROR / questions) * spread / np.sqrt(counts)
    enough = np.flatnonzero(2 * reach <= width)
    return int(counts[enough[0]]) if len(enough) else None
