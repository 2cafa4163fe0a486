"""Which epochs drop, and the learning rate and batch factors of those that do."""

from dataclasses import dataclass
from typing import Literal

LRScale = float | Literal["inverse"]


@dataclass(frozen=True)
class Schedule:
    """Every `every`-th epoch from `start` on is a drop epoch; the others are full.

    Attributes:
        drop_rate: 0 means that no epoch drops, whatever the rest says.
        every: 2 alternates full and drop epochs, as the paper does; 1 drops in every epoch.
        start: the first drop epoch.
        lr_scale: learning-rate factor in a drop epoch; ``"inverse"`` is 1 / (1 - rate).
        batch_scale: batch-size factor in a drop epoch.

    Example:
        >>> [epoch for epoch in range(6) if Schedule(drop_rate=0.5).is_drop_epoch(epoch)]
        [1, 3, 5]
    """

    drop_rate: float = 0.5
    every: int = 2
    start: int = 1
    lr_scale: LRScale = 2.0
    batch_scale: float = 1

    @property
    def ever_drops(self) -> bool:
        """Whether there is any drop epoch at all."""
        return self.drop_rate > 0

    def is_drop_epoch(self, epoch: int) -> bool:
        """Whether this epoch (counted from 0) drops."""
        since = epoch - self.start
        return self.ever_drops and since >= 0 and since % self.every == 0

    def lr_factor(self, mean_rate: float) -> float:
        """The learning-rate factor of a drop epoch.

        Args:
            mean_rate: the drop rate averaged over the layers that can drop; below 1.
        """
        return 1 / (1 - mean_rate) if self.lr_scale == "inverse" else self.lr_scale
