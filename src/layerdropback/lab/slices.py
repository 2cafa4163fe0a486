"""One arm in the pilot: its steps, timed slice by slice all over its run."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import cycle, pairwise

import numpy as np
from numpy.typing import NDArray

from ..engine.watch import AGAIN, STEPS
from ..errors import UsageError, explain
from .arms import Arm
from .calling import now
from .held import MovingBytes, SavedBytes
from .task import Run, Task, whole_epochs
from .turns import Player

# Seconds of a slice, about: so short that the machine is the same for all arms of a round.
SLICE = 0.1

# What a loop does in every second or fourth step has its part in so many, wherever they begin.
_TURN = 4

# The first steps of a slice, where an epoch is not short, count as an epoch's first ones do, no
# more: with one of them the loader starts, and LayerDropBack looks whether it does what it says.
LEAD = _TURN * math.ceil((AGAIN + 1) / _TURN)

# Steps before a run's first slice: it looks in these, once, and the very first is recorded.
_WARM = STEPS + 1

# Rounds in which the machine did something else are beyond the others' quartiles by over so many
# times what lies between these: Tukey's outer fences.
_FAR = 3.0

# Drop epochs whose rate changes are timed in so many parts, those of like rates together.
PARTS = 4

# Slices so far apart, as shares of a run, are spread over it evenly, however many there are.
_GOLDEN = (math.sqrt(5) - 1) / 2

# Steps whose bytes are counted, of each part of a run.
_COUNTED = 4

Numbers = NDArray[np.floating]


class Part:
    """Epochs of a run whose steps take the same time, or in which periods of steps decide.

    Attributes:
        mode: of its epochs.
        epochs: counted from 0.
        steps: of them all, in the whole run.
        turn: its epochs, over and over.
        count: steps of a slice.
        found: seconds of a step, slice by slice.
        saved: bytes that a step keeps for its backward pass.
    """

    def __init__(self, mode: str, epochs: Sequence[int], steps: float):
        self.mode, self.epochs, self.steps = mode, epochs, steps
        self.turn = cycle(epochs)
        self.count = 2
        self.found: list[float] = []
        self.saved = 0.0


class Track:
    """One arm in the pilot; its runs are thrown away.

    Args:
        arm: what is timed.
        task: makes its runs.

    Raises:
        UsageError: an epoch has too few steps for that.
    """

    def __init__(self, arm: Arm, task: Task):
        self.arm, self._task = arm, task
        whole = whole_epochs(arm.epochs)
        self._whole = replace(arm, epochs=whole)
        self.player = Player(self._whole, 0, task)
        run = self.player.run
        # The last epoch may be a part of one.
        self.parts = [
            Part(mode, epochs, sum(min(1.0, arm.epochs - e) * run.steps_in(e) for e in epochs))
            for mode, epochs in _parts_of(run, whole)
        ]
        for part in self.parts:
            if self._room(part) < 1:
                fact = f"{arm.name} has less than 3 steps in a {part.mode} epoch"
                cure = "use smaller batches or more data"
                raise UsageError(explain(fact, "its time cannot be measured", cure))
        self.moving = MovingBytes(run.optimizer)
        self._made, self._done = 0, dict.fromkeys(range(whole), 0)

    def prepare(self) -> None:
        """Warm up, count bytes, and find how many steps make a slice."""
        self._warm_up(1)
        for part in self.parts:
            # All over the run where its periods decide; elsewhere its steps are alike.
            places = range(_COUNTED) if part.mode == "mixed" else (0,)
            half = lead(self.player.run, part.epochs[0]) // 2
            with SavedBytes(self.player.run.model) as saved, self.moving:
                for number in places:
                    self._seek(part, (number + 0.5) / _COUNTED, half)
                    self._timed(next(part.turn), _COUNTED // len(places))
            part.saved = saved.total / saved.passes
            seconds = self._timed(next(part.turn), 4)
            part.count = self._slice(part, min(1000, math.ceil(SLICE / seconds)))

    def round(self, number: int) -> None:
        """One slice of each part.

        Args:
            number: of the round, counted from 0.
        """
        for part in self.parts:
            if self._made + part.count + LEAD > self.player.steps:
                self._begin_anew()
            epoch, run = next(part.turn), self.player.run
            self._seek(part, place(number), lead(run, epoch))
            done, slice_ = self._done[epoch], lead(run, epoch) + part.count
            # Batches differ in length where sentences do: all over the epoch, if it can be.
            if not run.mid_epoch or done + slice_ >= run.steps_in(epoch):
                done = 0
            part.found.append(self._timed(epoch, part.count, done))

    def _timed(self, epoch: int, steps: int, done: int = 0) -> float:
        made = lead(self.player.run, epoch) + steps
        self._made += made
        self._done[epoch] = done + made
        return timed_steps(self.player, epoch, steps, done)

    def runs(self) -> Numbers:
        """Seconds of the whole run, as each round has it."""
        found: Numbers = np.sum([p.steps * np.array(p.found) for p in self.parts], axis=0)
        return found

    def ratio(self, plain: "Track") -> tuple[float, float]:
        """The run's time of plain training's, and the standard error of that.

        All of the one over all of the other: long batches weigh more, as they do in a run. A median
        would take the batches, or the periods, that happen to be in the middle for all.
        """
        mine, others, order = self.runs(), plain.runs(), np.arange(len(plain.runs()))
        if self._mixed:
            # What differs from one end of the run to the other is no error: neighbours tell it.
            order = np.argsort([place(number) for number in range(len(mine))])
        else:
            ratios = mine / others
            low, high = np.quantile(ratios, (0.25, 0.75))
            far = _FAR * (high - low)
            order = order[(low - far <= ratios) & (ratios <= high + far)]
        mine, others = mine[order], others[order]
        found = float(mine.sum() / others.sum())
        left = mine - found * others
        spread = np.diff(left) ** 2 / 2 if self._mixed else left**2
        if len(left) < 2:
            return found, math.inf
        return found, math.sqrt(float(spread.mean()) / len(left)) / float(others.mean())

    @property
    def _mixed(self) -> bool:
        return any(part.mode == "mixed" for part in self.parts)

    def by_mode(self, value: Callable[[Part], float]) -> dict[str, float]:
        """Means over steps."""
        found = {}
        for mode in dict.fromkeys(part.mode for part in self.parts):
            mine = [part for part in self.parts if part.mode == mode]
            weights = [part.steps for part in mine]
            found[mode] = float(np.average([value(part) for part in mine], weights=weights))
        return found

    def close(self) -> None:
        """End what runs beside it."""
        self.player.close()

    def _begin_anew(self) -> None:
        """A run that is made anew: one that has had all its steps may have no rate for more."""
        self.close()
        self.player = Player(self._whole, 0, self._task)
        self._made, self._done = 0, dict.fromkeys(self._done, 0)
        self._warm_up(min(_WARM, self.player.steps // 4))

    def _warm_up(self, steps: int) -> None:
        """So many steps of each part at least; the very first is full in a drop epoch, too."""
        for part in self.parts:
            until = self._made + steps
            while self._made < until:
                self._timed(part.epochs[0], min(steps, self._room(part)))

    def _slice(self, part: Part, wanted: int) -> int:
        """Steps of a slice, in whole turns; for a period's steps a mask's layers stay the same."""
        turn = self._period if part.mode == "mixed" else _TURN
        room = self._room(part)
        return min(turn * math.ceil(max(LEAD, wanted) / turn), room - room % turn or room)

    def _room(self, part: Part) -> int:
        """The most steps that a slice can have."""
        run = self.player.run
        return min(run.steps_in(epoch) - lead(run, epoch) - 1 for epoch in part.epochs)

    @property
    def _period(self) -> int:
        ldb = self.player.run.ldb
        return 1 if ldb is None else ldb.settings.schedule.steps or 1

    def _seek(self, part: Part, share: float, first: int) -> None:
        """Let a period so far on in the run begin after so many steps, where periods decide."""
        ldb = self.player.run.ldb
        if part.mode == "mixed" and ldb is not None:
            period = int(share * math.ceil(part.steps / self._period))
            step = max(0, period * self._period - first)
            ldb.load_state_dict({**ldb.state_dict(), "step": step})


def place(number: int) -> float:
    """Where in the run a round's slice is, as a share of it.

    Example:
        >>> [round(place(number), 2) for number in range(4)]
        [0.5, 0.12, 0.74, 0.35]
    """
    return (0.5 + number * _GOLDEN) % 1


def lead(run: Run, epoch: int) -> int:
    """The first steps of a slice: of a short epoch they would be too much."""
    return min(LEAD, max(1, run.steps_in(epoch) // 4))


def timed_steps(player: Player, epoch: int, steps: int, done: int = 0) -> float:
    """Seconds of a step of an epoch: its first ones took what these first ones take.

    Args:
        player: trains them; it is of no use for a real run afterwards.
        epoch: counted from 0; it decides whether layers drop.
        steps: to be made after the first ones; fewer where the epoch has not as many.
        done: steps of the epoch that were made already; 0: it begins anew.
    """
    run = player.run
    whole, first = run.steps_in(epoch), lead(run, epoch)
    steps = min(steps, whole - done - first - 1)
    with player.generators(), closing(run.train(epoch, done)) as training:
        begun = now(player.device)
        for _ in range(first):
            next(training)
        start = now(player.device)
        for _ in range(steps):
            next(training)
        each = (now(player.device) - start) / steps
    return (start - begun + (whole - first) * each) / whole


def _parts_of(run: Run, epochs: int) -> list[tuple[str, list[int]]]:
    """The run's epochs by mode; those that drop in several parts where the rate changes."""
    found: dict[str, list[int]] = {}
    for epoch in range(epochs):
        found.setdefault(run.mode(epoch), []).append(epoch)
    parts = []
    changes = run.ldb is not None and run.ldb.settings.schedule.ramp != "constant"
    for mode, mine in found.items():
        count = min(PARTS, len(mine)) if mode == "drop" and changes else 1
        ends = [number * len(mine) // count for number in range(count + 1)]
        parts += [(mode, mine[a:b]) for a, b in pairwise(ends)]
    return parts
