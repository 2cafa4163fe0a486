"""How long each arm's steps take, before anything is trained: short slices of all arms in turns."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import AttachError, UsageError, explain
from .arms import Arm
from .calling import now
from .held import MovingBytes, SavedBytes
from .task import Run, Task, whole_epochs
from .turns import Player

# Seconds of a slice, about: so short that the machine is the same for all arms of a round.
SLICE = 0.1

# Rounds, at least and at most; and the standard error of an arm's time, as a share, that is enough.
ROUNDS, ENOUGH = (10, 200), 0.004

# Of a normal distribution: its standard deviation over the median deviation, and the standard error
# of the median over that of the mean.
_NORMAL, _MEDIAN = 1.4826, 1.2533

Numbers = NDArray[np.floating[Any]]

# Drop epochs whose rate changes are timed in so many parts, those of like rates together.
PARTS = 4

# Nor does a pilot take more than this share of the runs that it is for, nor so many seconds.
SHARE, LONGEST = 0.25, 120.0


@dataclass(frozen=True)
class Timing:
    """What the pilot found of one arm.

    Attributes:
        seconds: of the whole run, its tests not counted: the median over the rounds.
        per_step: seconds of a step, by mode; the median over the rounds.
        saved: bytes that a step's forward pass keeps for its backward pass, by mode; the mean over
            a few steps.
        gradients: bytes, the most of a few steps; None where they cannot be seen.
        states: bytes of the optimizer's, the same way.
        ratio: of the run's time to plain training's, the median over the rounds.
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
    tracks = [_Track(arm, task) for arm in arms]
    try:
        for track in list(tracks):
            try:
                track.prepare()
            except AttachError as refused:
                if left_out is None:
                    raise
                left_out[track.arm.name] = " ".join(refused.problems)
                tracks.remove(track)
                track.player.close()
        begun = time.perf_counter()
        for made in itertools.count(1):
            # Who begins changes, as in a real run.
            first = made % len(tracks)
            for track in tracks[first:] + tracks[:first]:
                track.round()
            error = max(track.error(tracks[0]) for track in tracks)
            tell(f"pilot: {made} rounds, times known to {100 * error:.1f} %")
            most = min(LONGEST, SHARE * runs * sum(float(track.runs()[-1]) for track in tracks))
            late = time.perf_counter() - begun > most
            if made >= ROUNDS[0] and (error <= ENOUGH or made >= ROUNDS[1] or late):
                break
        return {track.arm.name: track.timing(tracks[0]) for track in tracks}
    finally:
        for track in tracks:
            track.player.close()


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


class _Track:
    """One arm in the pilot; its run is thrown away."""

    def __init__(self, arm: Arm, task: Task):
        self.arm = arm
        whole = whole_epochs(arm.epochs)
        self.player = Player(replace(arm, epochs=whole), 0, task)
        run = self.player.run
        self._moving = MovingBytes(run.optimizer)
        # The last epoch may be a part of one.
        self._parts = [
            _Part(mode, epochs, sum(min(1.0, arm.epochs - e) * run.steps_in(e) for e in epochs))
            for mode, epochs in _parts_of(run, whole)
        ]
        # A median would take the steps that happen to be in the middle for all; where a mask lasts
        # for a period, and the periods' steps differ, all of them count.
        self._mixed = any(part.mode == "mixed" for part in self._parts)
        for part in self._parts:
            if min(map(run.steps_in, part.epochs)) < 3:
                fact = f"{arm.name} has less than 3 steps in a {part.mode} epoch"
                cure = "use smaller batches or more data"
                raise UsageError(explain(fact, "its time cannot be measured", cure))

    def prepare(self) -> None:
        """Warm up, count bytes, and find how many steps make a slice."""
        ldb = self.player.run.ldb
        # For so many steps a mask's layers stay the same.
        period = 1 if ldb is None else ldb.settings.schedule.steps or 1
        for part in self._parts:
            # The very first step is recorded, and full, in an epoch that drops as well.
            timed_steps(self.player, part.epochs[0], 1)
            with SavedBytes(self.player.run.model) as saved, self._moving:
                timed_steps(self.player, next(part.turn), 4)
            part.saved = saved.total / saved.passes
            seconds = timed_steps(self.player, next(part.turn), 4)
            part.count = max(2, period, min(1000, math.ceil(SLICE / seconds)))

    def round(self) -> None:
        """One slice of each part."""
        for part in self._parts:
            part.found.append(timed_steps(self.player, next(part.turn), part.count))

    def runs(self) -> Numbers:
        """Seconds of the whole run, as each round has it."""
        found: Numbers = np.sum([p.steps * np.array(p.found) for p in self._parts], axis=0)
        return found

    def _middle(self, found: Numbers | Sequence[float]) -> float:
        return float(np.mean(found) if self._mixed else np.median(found))

    def _by_mode(self, value: Callable[["_Part"], float]) -> dict[str, float]:
        """Means over steps."""
        found = {}
        for mode in dict.fromkeys(part.mode for part in self._parts):
            mine = [part for part in self._parts if part.mode == mode]
            weights = [part.steps for part in mine]
            found[mode] = float(np.average([value(part) for part in mine], weights=weights))
        return found

    def error(self, plain: "_Track") -> float:
        """Standard error of the time's ratio to plain training's."""
        ratios = self.runs() / plain.runs()
        if len(ratios) < 2:
            return math.inf
        if self._mixed:
            return float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios))
        # By the median deviation, as a median is not moved by the slices that were disturbed.
        spread = _NORMAL * float(np.median(np.abs(ratios - np.median(ratios))))
        return _MEDIAN * spread / math.sqrt(len(ratios))

    def timing(self, plain: "_Track") -> Timing:
        runs = self.runs()
        return Timing(
            seconds=self._middle(runs),
            per_step=self._by_mode(lambda part: self._middle(part.found)),
            saved=self._by_mode(lambda part: part.saved),
            ratio=self._middle(runs / plain.runs()),
            error=self.error(plain),
            n=len(runs),
            epoch_steps=self.player.run.steps_in(0),
            gradients=self._moving.gradients,
            states=self._moving.states,
        )


def timed_steps(player: Player, epoch: int, steps: int) -> float:
    """Seconds of one of the first few steps of an epoch.

    The very first, which starts the loader, is made and not counted.

    Args:
        player: trains them; it is of no use for a real run afterwards.
        epoch: counted from 0; it decides whether layers drop.
        steps: to be counted; fewer where the epoch has not as many.
    """
    run = player.run
    steps = min(steps, run.steps_in(epoch) - 2)
    with player.generators(), closing(run.train(epoch)) as training:
        next(training)
        start = now(player.device)
        for _ in range(steps):
            next(training)
        return (now(player.device) - start) / steps


class _Part:
    """Epochs of a run whose steps take the same time."""

    def __init__(self, mode: str, epochs: Sequence[int], steps: float):
        self.mode, self.epochs, self.steps = mode, epochs, steps  # of the whole run
        self.turn = itertools.cycle(epochs)
        self.count = 0
        self.found: list[float] = []
        self.saved = 0.0


def _parts_of(run: Run, epochs: int) -> list[tuple[str, list[int]]]:
    """The run's epochs by mode; those that drop in several parts where the rate changes."""
    found: dict[str, list[int]] = {}
    for epoch in range(epochs):
        found.setdefault(run.mode(epoch), []).append(epoch)
    parts = []
    changes = run.ldb is not None and run.ldb.settings.schedule.ramp != "constant"
    for mode, mine in found.items():
        count = min(PARTS, len(mine)) if mode != "full" and changes else 1
        ends = [number * len(mine) // count for number in range(count + 1)]
        parts += [(mode, mine[a:b]) for a, b in itertools.pairwise(ends)]
    return parts
