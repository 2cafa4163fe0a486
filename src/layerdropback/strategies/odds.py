"""What masks are drawn from (chances of layers, depths of a cut, turns of blocks), and drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .random import Rates, Stream, random_numbers

Mask = NDArray[np.bool_]
Draw = Callable[[int], Rates]  # so many random numbers, uniform on [0, 1)


class Odds(Protocol):
    """A distribution of masks."""

    @property
    def chances(self) -> Rates:
        """Each layer's chance to be dropped in a drop step, shape ``(layers,)``."""

    @property
    def mean_rate(self) -> float:
        """The drop rate averaged over what it is a rate of; 0 where that is nothing."""

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """One mask: True where the layer is dropped, shape ``(layers,)``.

        `turn` counts drop periods, for what goes by turns.
        """

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """So many masks, in which every layer is dropped equally often, ``(masks, layers)``."""


@dataclass(frozen=True)
class Independent:
    """Every layer by itself, or with its leader, with its own chance.

    Attributes:
        rates: of each layer, shape ``(layers,)``; 0 for one that is kept.
        leaders: for each layer the one whose random number decides, shape ``(layers,)``.
    """

    rates: Rates
    leaders: NDArray[np.int64]

    @classmethod
    def never(cls, layers: int) -> "Independent":
        """Nothing drops."""
        return cls(np.zeros(layers), np.arange(layers))

    @property
    def chances(self) -> Rates:
        """See `Odds`."""
        return self.rates

    @cached_property
    def mean_rate(self) -> float:
        """See `Odds`."""
        some = self.rates[self.rates > 0]
        return float(some.mean()) if len(some) else 0.0

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """See `Odds`; a layer's place decides which random number it gets."""
        return numbers(len(self.rates))[self.leaders] < self.rates

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """See `Odds`."""
        count = len(self.rates)
        drawn = numbers((masks + 1) * count).reshape(masks + 1, count)[:, self.leaders]
        # Where rate x masks is no whole number, chance decides between the two nearest.
        times = np.floor(self.rates * masks + drawn[masks])
        rank = np.argsort(np.argsort(drawn[:masks], axis=0), axis=0)
        return np.asarray(rank < times)


@dataclass(frozen=True)
class Cuts:
    """A depth below which all is dropped, so that the backward pass stops there (issue 5).

    Attributes:
        count: of the model's layers.
        layers: the indices of those that can lie below a cut, the one that is used first first.
        shares: of the backward pass's cost, what is skipped with none, one, two, ... of them below
            a cut, shape ``(len(layers) + 1,)``, from 0, never falling.
        share: to skip on average, at most the last of `shares`.
        depth: how the share of one step is distributed, see `QUANTILES`.
    """

    count: int
    layers: tuple[int, ...]
    shares: Rates
    share: float
    depth: str

    @property
    def mean_rate(self) -> float:
        """See `Odds`."""
        return self.share

    @cached_property
    def chances(self) -> Rates:
        """See `Odds`; to two digits or so."""
        points, by_place = 1024, np.zeros(len(self.layers))
        shares = np.array([self._share((point + 0.5) / points) for point in range(points)])
        # They rise: neighbours lie between the same two cuts.
        places = np.searchsorted(self.shares, shares, side="right")
        for some in np.split(shares, np.flatnonzero(np.diff(places)) + 1):
            below, above, _ = self._beside(float(some[0]))
            by_place[:below] += len(some) / points
            if above > below:
                low, high = self.shares[[below, above]]
                by_place[below:above] += float(((some - low) / (high - low)).sum()) / points
        chances = np.zeros(self.count)
        chances[list(self.layers)] = by_place
        return chances

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """See `Odds`."""
        return self._at(*numbers(2))

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """See `Odds`; depths from evenly spread parts of their distribution."""
        places, roundings = numbers(2 * masks).reshape(2, masks)
        places = (np.arange(masks) + places) / masks
        return np.array([self._at(*pair) for pair in zip(places, roundings, strict=True)])

    def _at(self, place: float, rounding: float) -> Mask:
        below, above, up = self._beside(self._share(place))
        mask = np.zeros(self.count, dtype=np.bool_)
        mask[list(self.layers[: above if rounding < up else below])] = True
        return mask

    def _share(self, number: float) -> float:
        """The share that a step is to skip: the quantile of a number on [0, 1)."""
        return QUANTILES[self.depth](self.share, float(self.shares[-1]), number)

    def _beside(self, share: float) -> tuple[int, int, float]:
        """The counts that skip just less and just more than a share, and the odds of the latter.

        With those odds the share is what is skipped on average. What costs nothing goes with what
        is below it.
        """
        shares = self.shares
        below = int(np.searchsorted(shares, share, side="right")) - 1
        if below == len(self.layers):
            return below, below, 0.0
        above = int(np.searchsorted(shares, shares[below + 1], side="right")) - 1
        return below, above, float((share - shares[below]) / (shares[above] - shares[below]))


def _uniform_depth(share: float, reach: float, number: float) -> float:
    low, high = max(0.0, 2 * share - reach), min(reach, 2 * share)
    return low + (high - low) * number


def _power_depth(share: float, reach: float, number: float) -> float:
    return float(reach * number ** (reach / share - 1)) if 0 < share < reach else share


# The share that a step skips, from the mean share, the largest one, and a number on [0, 1): its
# distribution's quantile. `power` reaches from nothing to the largest share.
QUANTILES: dict[str, Callable[[float, float, float], float]] = {
    "uniform": _uniform_depth,
    "fixed": lambda share, reach, number: share,
    "power": _power_depth,
}


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
        if self._made is None or self._made[0] is not odds:
            made = odds.pool(partial(random_numbers, self.seed, Stream.POOL, 0), self._size)
            self._made = (odds, made)
        turn, place = divmod(index, self._size)
        order = np.argsort(random_numbers(self.seed, Stream.POOL_TURN, turn, self._size))
        return np.array(self._made[1][order[place]])
