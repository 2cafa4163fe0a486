"""How long each arm's steps take, before anything is trained: short slices of all arms in turns."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..errors import AttachError
from .arms import Arm
from .slices import Track
from .task import Task

# Rounds, at least and at most; and the standard error of an arm's time, as a share, that is enough.
ROUNDS, ENOUGH = (10, 200), 0.004

# Nor does a pilot take more than this share of the runs that it is for, nor so many seconds.
SHARE, LONGEST = 0.25, 120.0


@dataclass(frozen=True)
class Timing:
    """What the pilot found of one arm.

    Attributes:
        seconds: of the whole run, its tests not counted: the mean over the rounds.
        per_step: seconds of a step, by mode; the mean over the rounds.
        saved: bytes that a step's forward pass keeps for its backward pass, by mode; the mean over
            a few steps.
        gradients: bytes, the most of a few steps; None where they cannot be seen.
        states: bytes of the optimizer's, the same way.
        ratio: of the run's time to plain training's, over the rounds in which nothing disturbed.
        error: the ratio's standard error.
        n: rounds.
        epoch_steps: optimizer steps in a first, whole epoch.
    """

    seconds: float
    per_step: dict[str, float]
    saved: dict[str, float]
    ratio: float
    error: float
    n: int
    epoch_steps: int
    gradients: int | None = None
    states: int | None = None


def pilot(
    arms: Sequence[Arm],
    task: Task,
    runs: int = 1,
    tell: Callable[[str], None] = lambda text: None,
    left_out: dict[str, str] | None = None,
) -> dict[str, Timing]:
    """Time the steps of arms in turns, the first arm being plain training.

    Args:
        arms: plain training, and what is to be compared with it.
        task: makes their runs.
        runs: how many times each arm will be run; it decides how long the pilot may take.
        tell: gets a line that says how far it is.
        left_out: gets the arms with which the model cannot be trained, with the reason; None for
            an error.

    Returns:
        A timing for each arm.

    Raises:
        AttachError: the model cannot be trained with an arm.
        UsageError: an epoch has too few steps for that.
    """
    tracks = [Track(arm, task) for arm in arms]
    try:
        for track in list(tracks):
            try:
                track.prepare()
            except AttachError as refused:
                if left_out is None:
                    raise
                left_out[track.arm.name] = " ".join(refused.problems)
                tracks.remove(track)
                track.close()
        begun = time.perf_counter()
        for made in itertools.count(1):
            # Who begins changes, as in a real run.
            first = made % len(tracks)
            for track in tracks[first:] + tracks[:first]:
                track.round(made - 1)
            error = max(track.ratio(tracks[0])[1] for track in tracks)
            tell(f"pilot: {made} rounds, times known to {100 * error:.1f} %")
            most = min(LONGEST, SHARE * runs * sum(float(track.runs()[-1]) for track in tracks))
            late = time.perf_counter() - begun > most
            if made >= ROUNDS[0] and (error <= ENOUGH or made >= ROUNDS[1] or late):
                break
        return {track.arm.name: _timing(track, tracks[0]) for track in tracks}
    finally:
        for track in tracks:
            track.close()


def same_time(control: Arm, method: Timing, plain: Timing) -> Arm:
    """Plain training of as many steps as take a method's time, rounded up: in plain's favour.

    Args:
        control: plain training, of any length.
        method: whose time it is given.
        plain: of plain training.

    Example:
        >>> plain = Timing(10.0, {"full": 0.1}, {}, 1.0, 0.0, 5, epoch_steps=25)
        >>> ldb = Timing(7.9, {"full": 0.1, "drop": 0.06}, {}, 0.79, 0.0, 5, epoch_steps=25)
        >>> arm = Arm("plain@ldb", None, 4, 0.1, "same time", "ldb")
        >>> same_time(arm, ldb, plain).epochs
        3.16
    """
    # The ratio, not the method's seconds: it is of slices that were close in time.
    steps = math.ceil(plain.seconds * method.ratio / plain.per_step["full"] - 1e-9)
    return replace(control, epochs=max(1, steps) / plain.epoch_steps)


def _timing(track: Track, plain: Track) -> Timing:
    ratio, error = track.ratio(plain)
    return Timing(
        seconds=fmean(track.runs()),
        per_step=track.by_mode(lambda part: fmean(part.found)),
        saved=track.by_mode(lambda part: part.saved),
        ratio=ratio,
        error=error,
        n=len(track.runs()),
        epoch_steps=track.player.run.steps_in(0),
        gradients=track.moving.gradients,
        states=track.moving.states,
    )
