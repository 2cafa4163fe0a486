"""Blocks that take turns: a few are active for a period, and all the others rest."""

from dataclasses import dataclass

import numpy as np

from .odds import Draw, Mask
from .random import Rates


@dataclass(frozen=True)
class Turns:
    """Some of the blocks are active, and the rest of what can drop rests.

    Attributes:
        count: of the model's layers.
        blocks: the indices of those that take turns, the one that is used first first.
        resting: the indices of what always rests.
        active: how many blocks are active at a time.
        order: ``"random"``: any of them; ``"cyclic"``: from the last one down, and around;
            ``"fixed"``: the last ones.
    """

    count: int
    blocks: tuple[int, ...]
    resting: tuple[int, ...]
    active: int
    order: str

    @property
    def mean_rate(self) -> float:
        """See `Odds`: the share of the blocks that rests."""
        blocks = len(self.blocks)
        return max(0, blocks - self.active) / max(1, blocks)

    @property
    def chances(self) -> Rates:
        """See `Odds`."""
        chances = np.zeros(self.count)
        chances[list(self.resting)] = 1.0
        if self.order == "fixed":
            chances[list(self.blocks[: -self.active])] = 1.0
        else:
            chances[list(self.blocks)] = self.mean_rate
        return chances

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """See `Odds`; a layer's place decides which random number it gets."""
        return self._at(numbers(self.count), turn)

    def _at(self, drawn: Rates, turn: int) -> Mask:
        mask = np.zeros(self.count, dtype=np.bool_)
        mask[[*self.resting, *self.blocks]] = True
        mask[self._active(drawn, turn)] = False
        return mask

    def _active(self, drawn: Rates, turn: int) -> list[int]:
        blocks, active = self.blocks, min(self.active, len(self.blocks))
        if self.order == "random":
            return sorted(blocks, key=drawn.__getitem__)[:active]
        first = turn * active if self.order == "cyclic" else 0
        return [blocks[-1 - (first + i) % len(blocks)] for i in range(active)]

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """See `Odds`: the masks of so many turns in a row."""
        rows = numbers(masks * self.count).reshape(masks, self.count)
        return np.array([self._at(row, turn) for turn, row in enumerate(rows)])
