"""The mask of a strategy that needs the most memory."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...strategies import Strategy
from ...strategies.facts import Facts
from ...strategies.odds import Draw, Mask, Odds
from ...strategies.random import Rates, Stream, random_numbers

_DRAWS = 256

# What makes a mask need much: backward reaches far down, so that many activations are kept; or many
# parameters are trained. One mask is mostly both.
By = Literal["depth", "parameters"]


@dataclass(frozen=True)
class One:
    """Odds of one mask, with the chances of those for which it stands; see `Odds`.

    Attributes:
        mask: that is always drawn.
        chances: of the others.
        mean_rate: the same.
    """

    mask: Mask
    chances: Rates
    mean_rate: float

    def draw(self, numbers: Draw, turn: int = 0) -> Mask:
        """See `Odds`."""
        return self.mask.copy()

    def pool(self, numbers: Draw, masks: int) -> Mask:
        """See `Odds`."""
        return np.repeat(self.mask[None], masks, axis=0)


def worst_of(
    strategy: Strategy, positions: Sequence[float], by: By, chosen: dict[By, Mask]
) -> Strategy:
    """The same strategy, but it always draws the mask that needs the most memory.

    Args:
        strategy: stays as it is.
        positions: of its drop rate, at which it may draw.
        by: what makes a mask the worst.
        chosen: gets the worst mask by either.
    """
    kind: Any = type(strategy)

    class Worst(kind):  # type: ignore[misc]
        def odds(self, facts: Facts, position: float) -> Odds:
            drawn_from = super().odds
            masks = np.concatenate([_masks(drawn_from(facts, place)) for place in positions])
            chosen["depth"] = masks[_order(facts, masks, first="depth")]
            chosen["parameters"] = masks[_order(facts, masks, first="parameters")]
            others = drawn_from(facts, position)
            return One(chosen[by], others.chances, others.mean_rate)

    made: Strategy = copy.copy(strategy)
    object.__setattr__(made, "__class__", Worst)
    return made


def _masks(odds: Odds) -> Mask:
    """Many that may be drawn, and the one that drops the least where their number varies."""
    drawn = [odds.draw(partial(random_numbers, 0, Stream.MASK, i), i) for i in range(_DRAWS)]
    masks = np.unique(np.array(drawn), axis=0)
    if len(set(masks.sum(axis=1).tolist())) > 1:
        always = np.asarray(odds.chances) >= 1 - 1e-9
        masks = np.concatenate([masks, always[None]])
    return masks


def _order(facts: Facts, masks: Mask, first: By) -> int:
    """Which mask is the worst."""
    sizes = np.array(
        [sum(p.numel() * p.element_size() for p in la.parameters) for la in facts.layers]
    )
    trained = (~masks) @ sizes
    depth = np.array([_untouched(facts, mask) for mask in masks])
    keys: list[NDArray[Any]] = [trained, -depth] if first == "parameters" else [-depth, trained]
    return int(np.lexsort(keys[::-1])[-1])


def _untouched(facts: Facts, mask: Mask) -> int:
    """How many layers from the input on backward does not come to."""
    below = [facts.free[i] and mask[i] for i in facts.ascending]
    return below.index(False) if False in below else len(below)
