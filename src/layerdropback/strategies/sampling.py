"""Which layers one step drops: pure functions of (seed, step, odds).

The random numbers come from Philox, a counter-based generator: a mask needs no generator state, so
it is the same on every rank and after a resume, and the global generators are never touched
(issue 2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rates = NDArray[np.float64]

# What a draw's index counts; the two never share a random number.
STEPS, EPOCHS = 0, 1
_POOL, _TURNS = 2, 3  # a pool's masks; the order of a turn through it, by steps (3) or epochs (4)
BUDGET = 5  # an expectation's masks


def random_numbers(seed: int, stream: int, index: int, count: int) -> NDArray[np.float64]:
    """Draw `count` numbers, uniform on [0, 1).

    Args:
        seed: any integer in [0, 2**64).
        stream: `STEPS` or `EPOCHS`.
        index: the step's or the epoch's number.
        count: how many.

    Returns:
        Shape ``(count,)``. Only raw generator output is used, which numpy promises never to change.

    Example:
        >>> bool((random_numbers(0, STEPS, 7, 3) == random_numbers(0, STEPS, 7, 3)).all())
        True
    """
    # As arrays: numpy would turn a list with a seed of 2**63 or more into rounded floats.
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    raw = generator.random_raw(count) >> np.uint64(11)
    return raw.astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class Cuts:
    """Where backward can stop.

    Attributes:
        layers: the indices of those that can lie below a cut, the one that is used first first.
        shares: of the backward pass's cost, what is skipped with the cut right above each of them,
            shape ``(len(layers),)``, never falling.
        rate: the share to skip on average, at most the last of `shares`.
        depth: how the share of one step is distributed, see `QUANTILES`.
    """

    layers: tuple[int, ...]
    shares: Rates
    rate: float
    depth: str = "uniform"

    @property
    def reach(self) -> float:
        """The share that is skipped with the cut above them all."""
        return float(self.shares[-1]) if len(self.shares) else 0.0

    def chances(self) -> Rates:
        """For each of `layers` the probability to be dropped, to two digits or so."""
        chances = np.zeros(len(self.layers))
        points = 1024
        for number in (np.arange(points) + 0.5) / points:
            below, above, up = self._around(QUANTILES[self.depth](self.rate, self.reach, number))
            chances[:below] += 1 / points
            chances[below:above] += up / points
        return chances

    def draw(self, numbers: NDArray[np.float64]) -> int:
        """How many of `layers` are dropped.

        Args:
            numbers: two, uniform on [0, 1).
        """
        below, above, up = self._around(QUANTILES[self.depth](self.rate, self.reach, numbers[0]))
        return above if numbers[1] < up else below

    def _around(self, share: float) -> tuple[int, int, float]:
        """The counts that skip just less and just more than a share, and the odds of the latter.

        With those odds it is the share on average. What costs nothing goes with what is below it.
        """
        shares = np.concatenate([[0.0], self.shares])
        below = int(np.searchsorted(shares, share, side="right")) - 1
        if below == len(self.layers):
            return below, below, 0.0
        above = int(np.searchsorted(shares, shares[below + 1], side="right")) - 1
        return below, above, float((share - shares[below]) / (shares[above] - shares[below]))


def _uniform_depth(rate: float, reach: float, number: float) -> float:
    low, high = max(0.0, 2 * rate - reach), min(reach, 2 * rate)
    return low + (high - low) * number


def _fixed_depth(rate: float, reach: float, number: float) -> float:
    return rate


def _power_depth(rate: float, reach: float, number: float) -> float:
    return float(reach * number ** (reach / rate - 1)) if rate < reach else reach


# The share that a step skips, from the mean share, the largest one, and a number on [0, 1): its
# distribution's quantile. `power` reaches from nothing to the largest share.
QUANTILES: dict[str, Callable[[float, float, float], float]] = {
    "uniform": _uniform_depth,
    "fixed": _fixed_depth,
    "power": _power_depth,
}


@dataclass(frozen=True)
class Odds:
    """What a mask is drawn from.

    Attributes:
        rates: each layer's drop rate, shape ``(layers,)``; 0 for a layer that is always kept.
        cuts: where backward can stop; None where the costs are not known.
        leaders: for each layer the one that is drawn for it, shape ``(layers,)``; its own index
            where it is drawn by itself.
    """

    rates: Rates
    cuts: Cuts | None = None
    leaders: NDArray[np.int64] | None = None


def uniform(odds: Odds, seed: int, stream: int, index: int) -> Mask:
    """Drop every layer by itself with its own probability (arXiv 2412.18027, section 3).

    Args:
        odds: of each layer; a layer's place in `rates` decides which random number it gets.
        seed: see `random_numbers`, as are `stream` and `index`.
        stream: what `index` counts.
        index: the step's or the epoch's number.

    Returns:
        True where the layer is dropped, shape ``(layers,)``.

    Example:
        >>> uniform(Odds(np.array([0.0, 1.0])), seed=0, stream=STEPS, index=3).tolist()
        [False, True]
    """
    return random_numbers(seed, stream, index, len(odds.rates)) < odds.rates


def truncate(odds: Odds, seed: int, stream: int, index: int) -> Mask:
    """Draw a depth, and drop every layer below it, so that the backward pass stops there (issue 5).

    Args:
        odds: with their cuts.
        seed: see `random_numbers`, as are `stream` and `index`.
        stream: what `index` counts.
        index: the step's or the epoch's number.

    Returns:
        True where the layer is dropped, shape ``(layers,)``.

    Example:
        >>> cuts = Cuts(layers=(1, 0), shares=np.array([0.5, 0.75]), rate=0.5, depth="fixed")
        >>> truncate(Odds(np.full(3, 0.5), cuts), seed=0, stream=STEPS, index=3).tolist()
        [False, True, False]
    """
    assert odds.cuts is not None
    mask = np.zeros(len(odds.rates), dtype=np.bool_)
    count = odds.cuts.draw(random_numbers(seed, stream, index, 2))
    mask[list(odds.cuts.layers[:count])] = True
    return mask


def branch(odds: Odds, seed: int, stream: int, index: int) -> Mask:
    """Drop every residual branch by itself, all of its layers together (issue 5).

    Args:
        odds: with each layer's leader, the first layer of its branch.
        seed: see `random_numbers`, as are `stream` and `index`.
        stream: what `index` counts.
        index: the step's or the epoch's number.

    Returns:
        True where the layer is dropped, shape ``(layers,)``.

    Example:
        >>> odds = Odds(np.array([0.0, 0.5, 0.5, 0.5]), leaders=np.array([0, 1, 1, 3]))
        >>> mask = branch(odds, seed=0, stream=STEPS, index=3)
        >>> bool(mask[1] == mask[2])
        True
    """
    assert odds.leaders is not None
    return random_numbers(seed, stream, index, len(odds.rates))[odds.leaders] < odds.rates


def none(odds: Odds, seed: int, stream: int, index: int) -> Mask:
    """Drop nothing: the control that has the drop epochs' learning rate and batch alone."""
    return np.zeros(len(odds.rates), dtype=np.bool_)


def draw(
    strategy: str, odds: Odds, seed: int, stream: int, index: int, masks: int | None = None
) -> Mask:
    """Draw a mask.

    Args:
        strategy: a name in `DRAW`.
        odds: see `uniform`, as are `seed`, `stream` and `index`.
        seed: of the random numbers.
        stream: what `index` counts.
        index: the step's or the epoch's number.
        masks: draw one of a pool of so many; None draws anew.

    Returns:
        True where the layer is dropped, shape ``(layers,)``.

    Example:
        >>> odds = Odds(np.full(3, 0.5))
        >>> pool = {tuple(draw("uniform", odds, 0, STEPS, i, masks=4).tolist()) for i in range(99)}
        >>> len(pool) <= 4
        True
    """
    if masks is None:
        return DRAW[strategy](odds, seed, stream, index)
    # Each turn takes every mask once, in an order of its own.
    turn, place = divmod(index, masks)
    chosen = int(np.argsort(random_numbers(seed, _TURNS + stream, turn, masks))[place])
    pool: NDArray[np.bool_] = POOL[strategy](odds, seed, masks)
    return np.array(pool[chosen])


def _uniform_pool(odds: Odds, seed: int, masks: int) -> NDArray[np.bool_]:
    """Each layer, or each leader's branch, is dropped in the same number of masks."""
    count = len(odds.rates)
    numbers = random_numbers(seed, _POOL, 0, (masks + 1) * count).reshape(masks + 1, count)
    if odds.leaders is not None:
        numbers = numbers[:, odds.leaders]
    # Where rate x masks is no whole number, chance decides between the two nearest.
    times = np.floor(odds.rates * masks + numbers[masks])
    rank = np.argsort(np.argsort(numbers[:masks], axis=0), axis=0)
    return np.asarray(rank < times)


def _cut_pool(odds: Odds, seed: int, masks: int) -> NDArray[np.bool_]:
    """Depths from evenly spread parts of their distribution."""
    assert odds.cuts is not None
    pool = np.zeros((masks, len(odds.rates)), dtype=np.bool_)
    numbers = random_numbers(seed, _POOL, 0, 2 * masks).reshape(2, masks)
    for number in range(masks):
        spread = (number + numbers[0, number]) / masks
        count = odds.cuts.draw(np.array([spread, numbers[1, number]]))
        pool[number, list(odds.cuts.layers[:count])] = True
    return pool


def _empty_pool(odds: Odds, seed: int, masks: int) -> NDArray[np.bool_]:
    return np.zeros((masks, len(odds.rates)), dtype=np.bool_)


DRAW: dict[str, Callable[[Odds, int, int, int], Mask]] = {
    "uniform": uniform,
    "truncate": truncate,
    "adaptive": truncate,
    "branch": branch,
    "none": none,
}

POOL: dict[str, Callable[[Odds, int, int], NDArray[np.bool_]]] = {
    "uniform": _uniform_pool,
    "truncate": _cut_pool,
    "adaptive": _cut_pool,
    "branch": _uniform_pool,
    "none": _empty_pool,
}
