"""Which epochs (or step periods) drop, how much, and their learning rate and batch factors."""

import math
from dataclasses import dataclass
from typing import Literal

LRScale = float | Literal["inverse"]
Ramp = Literal["constant", "rising", "falling"]


@dataclass(frozen=True)
class Schedule:
    """Every `every`-th epoch from `start` on is a drop epoch; the others are full.

    Attributes:
        drop_rate: 0 means that no epoch drops, whatever the rest says.
        every: 2 alternates full and drop epochs, as the paper does; 1 drops in every epoch.
        start: the first drop epoch; before it, all is trained.
        lr_scale: learning-rate factor in a drop epoch; ``"inverse"`` is 1 / (1 - rate).
        batch_scale: batch-size factor in a drop epoch.
        ramp: whether the drop rate rises or falls from one drop epoch to the next, around
            `drop_rate`, which stays its mean.
        anneal: the last share of the run in which all is trained again.
        period_steps: so many optimizer steps stand for one epoch in all of this, for runs of a few
            epochs; None for epochs.
        length: of the whole run in epochs, or in optimizer steps with `period_steps`; what `ramp`
            and `anneal` refer to.

    Example:
        >>> [epoch for epoch in range(6) if Schedule(drop_rate=0.5).is_drop_epoch(epoch)]
        [1, 3, 5]
        >>> late = Schedule(drop_rate=0.5, every=1, anneal=0.5, length=6)
        >>> [epoch for epoch in range(6) if late.is_drop_epoch(epoch)]
        [1, 2]
    """

    drop_rate: float = 0.5
    every: int = 2
    start: int = 1
    lr_scale: LRScale = 2.0
    batch_scale: float = 1
    ramp: Ramp = "constant"
    anneal: float = 0.0
    period_steps: int | None = None
    length: float | None = None

    @property
    def ever_drops(self) -> bool:
        """Whether there is any drop epoch at all."""
        return self.drop_rate > 0

    def period(self, epoch: int, step: int) -> int:
        """What `is_drop_epoch` and `position` ask for: the epoch's number, or the step period's.

        Example:
            >>> Schedule().period(epoch=3, step=25), Schedule(period_steps=10).period(3, 25)
            (3, 2)
        """
        return epoch if self.period_steps is None else step // self.period_steps

    def is_drop_epoch(self, epoch: int) -> bool:
        """Whether this epoch (counted from 0) drops; with `period_steps`, whether a period does."""
        since = epoch - self.start
        return self.ever_drops and 0 <= since < self._end - self.start and since % self.every == 0

    def turn(self, epoch: int) -> int:
        """How many epochs before this drop epoch drop.

        Example:
            >>> [Schedule(every=2, start=1).turn(epoch) for epoch in (1, 3, 5)]
            [0, 1, 2]
        """
        return (epoch - self.start) // self.every

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
        count = max(1, math.ceil((self._end - self.start) / self.every))
        # A run that is longer than was said goes on as it was in the end.
        share = min(1.0, (self.turn(epoch) + 0.5) / count)
        return share if self.ramp == "rising" else 1 - share

    def lr_factor(self, mean_rate: float) -> float:
        """The learning-rate factor of a drop epoch.

        Args:
            mean_rate: the drop rate averaged over the layers that can drop; below 1.
        """
        return 1 / (1 - mean_rate) if self.lr_scale == "inverse" else self.lr_scale

    @property
    def _end(self) -> float:
        """The first epoch, or period, of the run's end that is trained in full."""
        if self.length is None:
            return math.inf
        periods = self.length if self.period_steps is None else self.length / self.period_steps
        if self.anneal == 0 and self.ramp == "constant":
            return math.inf  # a run may be longer than was said
        return math.ceil(periods * (1 - self.anneal) - 1e-9)
