"""When layers drop, and how far a drop rate has changed: epochs or periods of steps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from .errors import explain
from .option import is_count, is_number, is_share, option, plain, require, unknown, unusable

Ramp = Literal["constant", "rising", "falling"]
RAMPS: tuple[str, ...] = get_args(Ramp)


@dataclass(frozen=True)
class Schedule:
    """Every `every`-th epoch from `start` on is a drop epoch; the others are full.

    Attributes:
        every: 2 alternates full and drop epochs, as the paper does; 1 drops in every epoch. None is
            the strategy's own: 2, and 1 for `Blocks`.
        start: the first drop epoch, counted from 0; before it, all is trained. None is the
            strategy's own: 1, and 0 for `Blocks`.
        steps: periods of so many optimizer steps stand for epochs in all of this, for runs of a
            few epochs; None for epochs. `Blocks` has periods of 20 steps where nothing is given.
        ramp: whether the drop rate rises or falls from one drop epoch to the next, as widely
            around its mean as is even.
        anneal: the last share of the run in which all is trained again.
        length: of the whole run in epochs, or in optimizer steps with `steps`; `ramp` and
            `anneal` need it.

    Raises:
        AttachError: a value makes no sense, or a length is missing.

    Example:
        >>> [epoch for epoch in range(6) if Schedule().is_drop_epoch(epoch)]
        [1, 3, 5]
        >>> late = Schedule(every=1, anneal=0.5, length=6)
        >>> [epoch for epoch in range(6) if late.is_drop_epoch(epoch)]
        [1, 2]
    """

    every: int | None = option(None, "A drop epoch every so many; 2, but 1 for blocks.")
    start: int | None = option(None, "First drop epoch, from 0; 1, but 0 for blocks.")
    steps: int | None = option(
        None,
        "Periods of so many steps instead of epochs, for --every and --start.",
        flag="period_steps",
    )
    ramp: Ramp = option("constant", "How the drop rate changes over the run", RAMPS)
    anneal: float = option(0.0, "Last share of the run that drops nothing.")
    length: float | None = None

    def __post_init__(self) -> None:
        require(self._problems(), "Schedule")

    def _problems(self) -> Iterator[str]:
        cause, good = "epochs are counted", self.every is None or is_count(self.every, 1)
        yield from unusable(good, "every", self.every, cause, "give 1 or more")
        good = self.start is None or is_count(self.start)
        yield from unusable(good, "start", self.start, cause, "give 0 or more")
        good = self.steps is None or is_count(self.steps, 1)
        cure = "give an integer from 1 on, or None"
        yield from unusable(good, "steps", self.steps, "steps are counted", cure)
        yield from unknown(RAMPS, "ramp", self.ramp)
        cause, cure = "it is a share of the run", "give a number in [0, 1)"
        yield from unusable(is_share(self.anneal), "anneal", self.anneal, cause, cure)
        good = self.length is None or (is_number(self.length) and self.length > 0)
        cause, cure = "a run has some length", "give a number above 0, or None"
        yield from unusable(good, "length", self.length, cause, cure)
        if self.length is None:
            needs = [f"ramp={self.ramp!r}"] * (self.ramp in ("rising", "falling"))
            needs += [f"anneal={self.anneal!r}"] * (self.anneal != 0)
            for name in needs:
                cure = "give length=, the run's epochs (with steps= its optimizer steps)"
                yield explain(f"{name} needs a length", "it refers to the whole run", cure)

    @property
    def pace(self) -> tuple[int, int]:
        """`every` and `start`; where none was given, those of most strategies."""
        return 2 if self.every is None else self.every, 1 if self.start is None else self.start

    def with_pace(self, every: int, start: int, steps: int | None) -> "Schedule":
        """What was not given is as a strategy has it; `steps` only where nothing was.

        Example:
            >>> Schedule().with_pace(1, 0, 20).steps, Schedule(every=2).with_pace(1, 0, 20).steps
            (20, None)
        """
        if (self.every, self.start, self.steps) != (None, None, None):
            steps = self.steps
        every = every if self.every is None else self.every
        start = start if self.start is None else self.start
        return replace(self, every=every, start=start, steps=steps)

    def period(self, epoch: int, step: int) -> int:
        """What `is_drop_epoch` and `position` ask for: the epoch's number, or the step period's.

        Example:
            >>> Schedule().period(epoch=3, step=25), Schedule(steps=10).period(3, 25)
            (3, 2)
        """
        return epoch if self.steps is None else step // self.steps

    def is_drop_epoch(self, epoch: int) -> bool:
        """Whether this epoch (counted from 0) drops; with `steps`, whether a period does."""
        every, start = self.pace
        since = epoch - start
        return 0 <= since < self._end - start and since % every == 0

    def turn(self, epoch: int) -> int:
        """How many drop epochs, or periods, came before this one.

        Example:
            >>> [Schedule().turn(epoch) for epoch in (1, 3, 5)]
            [0, 1, 2]
        """
        every, start = self.pace
        return max(0, epoch - start) // every

    def position(self, epoch: int) -> float:
        """Where on the way from the lowest to the highest drop rate a drop epoch is.

        Without a ramp it is in the middle, 0.5. The mean over a run's drop epochs is 0.5, too.

        Example:
            >>> rising = Schedule(every=1, start=0, ramp="rising", length=4)
            >>> [rising.position(epoch) for epoch in range(4)]
            [0.125, 0.375, 0.625, 0.875]
        """
        if self.ramp == "constant":
            return 0.5
        every, start = self.pace
        count = max(1, math.ceil((self._end - start) / every))
        # A run that is longer than was said goes on as it was in the end.
        share = min(1.0, (self.turn(epoch) + 0.5) / count)
        return share if self.ramp == "rising" else 1 - share

    def to_state(self) -> dict[str, Any]:
        """Every field by its name, in plain values."""
        return dict(plain(vars(self)))

    @property
    def _end(self) -> float:
        """The first epoch, or period, of the run's end that is trained in full."""
        if self.length is None or (self.anneal == 0 and self.ramp == "constant"):
            return math.inf  # a run may be longer than was said
        periods = self.length if self.steps is None else self.length / self.steps
        return math.ceil(periods * (1 - self.anneal) - 1e-9)
