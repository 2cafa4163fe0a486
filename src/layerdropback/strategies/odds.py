"""What masks are drawn from: chances of single layers, or depths of a cut."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .random import Rates

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
        chances, points = np.zeros(self.count), 1024
        order = list(self.layers)
        for number in (np.arange(points) + 0.5) / points:
            below, above, up = self._around(self._quantile(number))
            chances[order[:below]] += 1 / points
            chances[order[below:above]] += up / points
        return chances

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """See `Odds`."""
        place, rounding = numbers(2)
        return self._at(place, rounding)

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """See `Odds`; depths from evenly spread parts of their distribution."""
        places, roundings = numbers(2 * masks).reshape(2, masks)
        places = (np.arange(masks) + places) / masks
        return np.array([self._at(*pair) for pair in zip(places, roundings, strict=True)])

    def _at(self, place: float, rounding: float) -> Mask:
        below, above, up = self._around(self._quantile(place))
        mask = np.zeros(self.count, dtype=np.bool_)
        mask[list(self.layers[: above if rounding < up else below])] = True
        return mask

    def _quantile(self, number: float) -> float:
        return QUANTILES[self.depth](self.share, float(self.shares[-1]), number)

    def _around(self, share: float) -> tuple[int, int, float]:
        """The counts that skip just less and just more than a share, and the odds of the latter.

        With those odds it is the share on average. What costs nothing goes with what is below it.
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
