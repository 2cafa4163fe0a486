"""Plain training's own front: what it reaches in how much time, by runs of several lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np


@dataclass(frozen=True)
class Measured:
    """What one arm's runs gave, one entry for each seed, the same seeds in the same order.

    Attributes:
        accuracy: final, in percent.
        seconds: wall clock of the training.
    """

    accuracy: Sequence[float]
    seconds: Sequence[float]


def spanned(plain: Sequence[Measured], seconds: float) -> bool:
    """Whether plain runs took less than this and plain runs took more."""
    took = [fmean(run.seconds) for run in plain]
    return min(took) <= seconds <= max(took)


def at_time(plain: Sequence[Measured], seconds: float) -> list[float]:
    """Plain training's final accuracy in this time, by seed.

    Between two lengths it is interpolated in the logarithm of time: accuracy rises ever more
    slowly, and a straight line would lie below it, in favour of what it is compared with.

    Args:
        plain: runs of several lengths, each with its learning rate fully decayed.
        seconds: outside of their times the nearest of them counts; see `spanned`.

    Returns:
        Percent, one value for each seed.

    Example:
        >>> runs = [Measured([60.0, 61.0], [5.0, 5.0]), Measured([70.0, 71.0], [20.0, 20.0])]
        >>> at_time(runs, 10.0)
        [65.0, 66.0]
    """
    ordered = sorted(plain, key=lambda run: fmean(run.seconds))
    times = np.log([fmean(run.seconds) for run in ordered])
    by_seed = zip(*(run.accuracy for run in ordered), strict=True)
    return [float(np.interp(np.log(seconds), times, values)) for values in by_seed]
