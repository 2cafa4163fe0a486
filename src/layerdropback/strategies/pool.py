"""A mask of one step, drawn anew or from a pool."""

from functools import partial

import numpy as np

from .odds import Mask, Odds
from .random import Stream, random_numbers


class Masks:
    """Draws masks from odds; a pure function of the seed, the index and the odds.

    With a `pool` they are of so many, which are made once for the same odds.
    """

    def __init__(self, seed: int, pool: int | None = None):
        self.seed = seed
        self._size = pool
        self._made: tuple[Odds, Mask] | None = None

    @property
    def pooled(self) -> bool:
        """Whether masks come from a pool; their index then counts drop steps alone."""
        return self._size is not None

    def draw(self, odds: Odds, index: int) -> Mask:
        """A mask: True where the layer is dropped, shape ``(layers,)``.

        The index is the step's number, or the drop period's for a strategy of periods; with a pool
        that of the drop step, as a turn through it takes every mask once, in an order of its own.
        """
        if self._size is None:
            return odds.draw(partial(random_numbers, self.seed, Stream.MASK, index), index)
        turn, place = divmod(index, self._size)
        order = np.argsort(random_numbers(self.seed, Stream.POOL_TURN, turn, self._size))
        return np.array(self._pool(odds, self._size)[order[place]])

    def _pool(self, odds: Odds, size: int) -> Mask:
        if self._made is None or self._made[0] is not odds:
            made = odds.pool(partial(random_numbers, self.seed, Stream.POOL, 0), size)
            self._made = (odds, made)
        return self._made[1]
