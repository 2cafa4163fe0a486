"""Whether something was gained, in words: of time, of accuracy, and against what.

The comparison that matters is with plain training given the same wall time. An arm that is faster
at equal accuracy has gained nothing if stopping plain training earlier does as much.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from .front import Measured, at_time, spanned
from .statistics import ERROR, Interval, chance, holm, interval, seeds_needed

Kind = Literal[
    "better at equal time",
    "faster at equal accuracy",
    "no gain",
    "not enough seeds",
    "withheld",
]

# Times that differ by less are equal: a machine drifts by more.
SAME_TIME = 0.02


@dataclass(frozen=True)
class Compared:
    """One arm against another, paired by seed.

    Attributes:
        accuracy: difference in points.
        time: ratio of the wall-clock times; its interval is that of the mean logarithm.
    """

    accuracy: Interval
    time: Interval

    @classmethod
    def between(cls, arm: Measured, other: Measured, least_spread: float) -> "Compared":
        """Compare `arm` with `other`; see `interval` for `least_spread`, in points."""
        pairs = zip(arm.accuracy, other.accuracy, strict=True)
        points = interval([a - b for a, b in pairs], least_spread)
        pairs = zip(arm.seconds, other.seconds, strict=True)
        logs = interval([math.log(a / b) for a, b in pairs])
        ends = (math.exp(logs.mean), math.exp(logs.low), math.exp(min(logs.high, 700.0)))
        return cls(points, Interval(*ends, logs.spread, logs.n))

    @property
    def faster(self) -> bool:
        """Whether it is shown to take less time."""
        return self.time.high < 1 - SAME_TIME


@dataclass(frozen=True)
class Verdict:
    """What was shown of one arm.

    Attributes:
        kind: the verdict in one phrase.
        gain: whether something was gained over plain training.
        text: the same with its numbers, for a reader.
        against_plain: the arm against plain training.
        against_equal: against plain training given the same time, where that was run; where its
            time came out as another, against plain training's front at the arm's time.
        seeds_needed: about as many would decide it, where these do not.
    """

    kind: Kind
    gain: bool
    text: str
    against_plain: Compared
    against_equal: Compared | None
    seeds_needed: int | None = None


def judge(
    plain: Measured,
    arms: Mapping[str, tuple[Measured, Measured | None]],
    front: Sequence[Measured] = (),
    *,
    margin: float = 0.5,
    least_spread: float = 0.0,
) -> dict[str, Verdict]:
    """Judge arms against plain training.

    An arm has *equal* accuracy where the lower end of the paired 95 % interval of its difference to
    plain training lies above minus the margin, and is *better at equal time* where that of its
    difference to plain training of the same time lies above 0. Both are corrected for the number
    of arms (Holm). Where neither a gain nor its absence is shown, more seeds are needed.

    A pilot finds beforehand how much plain training takes an arm's time. Where that came out as
    another, by more than `SAME_TIME`, plain training's front takes its place (`at_time`); where
    the arm's time is beyond that, nothing is said of an arm that this could favour.

    Args:
        plain: plain training.
        arms: each arm, and plain training that was given its time, where that was run.
        front: plain training of several lengths; empty: not to be read where times differ.
        margin: in points, fixed before the runs.
        least_spread: standard deviation of the differences, in points, below which theirs is not
            believed; one test image's worth is a good one.

    Returns:
        A verdict for each arm.

    Example:
        >>> plain = Measured([90.0, 90.2, 89.9], [10.0, 10.1, 10.0])
        >>> arm = Measured([89.9, 90.2, 90.0], [8.0, 8.1, 8.0])
        >>> short = Measured([90.0, 90.1, 89.9], [8.0, 8.1, 8.0])
        >>> judge(plain, {"ldb": (arm, short)})["ldb"].kind
        'no gain'
    """
    with_plain = {
        name: Compared.between(arm, plain, least_spread) for name, (arm, _) in arms.items()
    }
    took: dict[str, float] = {}
    with_equal: dict[str, Compared | None] = {}
    for name, (arm, equal) in arms.items():
        found = None if equal is None else Compared.between(arm, equal, least_spread)
        if found is not None and abs(found.time.mean - 1) > SAME_TIME and front:
            seconds = fmean(arm.seconds)
            if spanned(front, seconds):
                took[name] = 1 / found.time.mean
                read = Measured(at_time(front, seconds), arm.seconds)
                found = Compared.between(arm, read, least_spread)
        with_equal[name] = found
    worse = holm(
        {name: chance(found.accuracy, -margin, "above") for name, found in with_plain.items()}
    )
    better = holm(
        {
            name: chance(found.accuracy, 0.0, "above")
            for name, found in with_equal.items()
            if found is not None
        }
    )
    return {
        name: _judged(
            with_plain[name],
            with_equal[name],
            equal_accuracy=worse[name] <= ERROR,
            better=better.get(name, 1.0) <= ERROR,
            margin=margin,
            questions=len(arms),
            took=took.get(name),
        )
        for name in arms
    }


def _judged(
    plain: Compared,
    equal: Compared | None,
    *,
    equal_accuracy: bool,
    better: bool,
    margin: float,
    questions: int,
    took: float | None,
) -> Verdict:
    said = _against_plain(plain, equal_accuracy, margin)
    kind: Kind
    needed = None
    if plain.accuracy.n < 2:
        kind, why = "not enough seeds", said
    elif plain.time.low >= 1 - SAME_TIME and plain.accuracy.high <= margin:
        kind, why = "no gain", f"{said}; it takes no less time than plain training"
    elif equal is None:
        kind, why = _without_equal(plain, equal_accuracy, margin, said)
    else:
        why = f"{said}; {_points(equal.accuracy)} against plain training of the same time"
        if took is not None:
            why += f", read off its front (what was to take that time took {took:.3f} of it)"
        if better:
            kind, fair = "better at equal time", equal.time.mean <= 1 + SAME_TIME
        elif equal.accuracy.high <= margin:
            kind, fair = "no gain", equal.time.mean >= 1 - SAME_TIME
        else:
            kind, fair = "not enough seeds", abs(equal.time.mean - 1) <= SAME_TIME
        # What holds against plain training of more time, or for one of less, holds all the more.
        if not fair:
            kind = "withheld"
            share = f"{1 / equal.time.mean:.3f} of it"
            why = f"plain training that was to take the same time took {share}; {why}"
    if kind == "not enough seeds":
        spread = (plain if equal is None else equal).accuracy.spread
        needed = None if math.isnan(spread) else seeds_needed(spread, margin, questions)
        number = "three or more" if math.isnan(spread) else f"about {needed or 'a thousand'}"
        why = f"{number} are needed; {why}"
    gain = kind in ("better at equal time", "faster at equal accuracy")
    return Verdict(kind, gain, f"{kind}: {why}", plain, equal, needed)


def _without_equal(
    plain: Compared, equal_accuracy: bool, margin: float, said: str
) -> tuple[Kind, str]:
    """The verdict where plain training was not given the same time."""
    unknown = f"{said}; plain training of the same time was not run"
    if plain.faster and equal_accuracy:
        return "faster at equal accuracy", unknown
    slow = plain.time.low >= 1 - SAME_TIME
    if plain.accuracy.high < -margin or (slow and plain.accuracy.high <= margin):
        return "no gain", unknown
    return "not enough seeds", unknown


def _against_plain(plain: Compared, equal_accuracy: bool, margin: float) -> str:
    shown = "equal accuracy" if equal_accuracy else "accuracy not shown to be equal"
    if plain.accuracy.high < -margin:
        shown = "lower accuracy"
    elif plain.accuracy.low > 0:
        shown = "higher accuracy"
    return f"{plain.time.mean:.2f} of plain training's time at {shown} ({_points(plain.accuracy)})"


def _points(found: Interval) -> str:
    """A difference with its interval and n."""
    ends = "" if found.n < 2 else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.mean:+.2f} points{ends}, n = {found.n}"
