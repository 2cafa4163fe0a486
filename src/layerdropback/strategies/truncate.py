"""A cut: all layers below a depth drop together, and the backward pass stops there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from ..errors import AttachError, explain
from ..option import option, pool_problems, share_problems, unknown
from .base import Strategy, ramped

if TYPE_CHECKING:
    from .facts import Facts
    from .odds import Mask, Odds
    from .random import Rates

Depth = Literal["uniform", "fixed", "power"]
DEPTHS: tuple[str, ...] = get_args(Depth)


@dataclass(frozen=True)
class Truncate(Strategy):
    """Drop every layer below a depth, in the order of use (issue 5).

    Attributes:
        share: of the backward pass's cost in FLOPs, what a drop step skips on average, in [0, 1);
            0 is plain training.
        depth: how the share of one step is distributed: ``"fixed"`` always `share`, ``"uniform"``
            as widely around it as is even, ``"power"`` from nothing to nearly all.
        unit: what drops as one, see `Strategy`.
        keep: names of layers never to drop, see `Strategy`; a cut lies below the first of them.
        pool: draw from so many masks, see `Uniform`.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> Truncate(0.3).depth
        'fixed'
    """

    name: ClassVar[str] = "truncate"
    needs_costs: ClassVar[bool] = True
    never: ClassVar[str] = "above every cut"
    share: float = option(0.5, "Share of the backward pass to skip.", flag="drop_rate")
    depth: Depth = option("fixed", "How the share of a step is spread", DEPTHS)
    pool: int | None = option(None, "Draw from a pool of so many masks.")

    @property
    def drops(self) -> bool:
        """See `Strategy`."""
        return self.share > 0

    @property
    def foresees(self) -> bool:
        """See `Strategy`: a fixed cut leaves the same layers out for good."""
        return self.depth == "fixed"

    @property
    def rate_text(self) -> str:
        """See `Strategy`."""
        return f"share {self.share:g} ({self.depth})"

    def odds(self, facts: Facts, position: float) -> Odds:
        """See `Strategy`; where less than `share` lies below a cut now, all of that."""
        from .odds import Cuts

        below, skipped = self._below(facts)
        reach = float(skipped[-1])
        share = ramped(min(self.share, reach), position, reach)
        return Cuts(len(facts.layers), below, skipped, share, self.depth)

    def check(self, facts: Facts) -> None:
        """See `Strategy`."""
        below, skipped = self._below(facts)
        reach = float(skipped[-1])
        if not 0 < reach < self.share:
            return  # nothing to cut as things stand is a warning of its own
        kept = facts.layers[facts.ascending[len(below)]].name
        fact = f"share={self.share:g} cannot be reached: cuts skip at most {reach:.3g} of the cost"
        cause = f"layer {kept!r} is always kept, and its gradient flows through all after it"
        beyond = 1 - max((facts.shares or {}).values())  # what a cut above all layers would leave
        if beyond > 1e-6:
            spent = f"an input requires a gradient, for which {beyond:.3g} of the cost is spent"
            cause = f"{spent} in every step, and layer {kept!r} is always kept"
        cure = f"give a share of at most {reach:.3g}, or keep only layers that are used later"
        raise AttachError([explain(fact, cause, cure)])

    def switches(self, facts: Facts, mask: Mask) -> tuple[str, ...]:
        """See `Strategy`."""
        return facts.below_cuts if mask.any() else ()

    def saved(self, facts: Facts, mask: Mask) -> float | None:
        """See `Strategy`; with a layer all that is used before it is dropped."""
        if facts.shares is None:
            return None
        return max((facts.shares[facts.layers[i].name] for i in mask.nonzero()[0]), default=0.0)

    def _below(self, facts: Facts) -> tuple[tuple[int, ...], Rates]:
        """Where backward can stop: below the first layer that is kept; see `Cuts`."""
        import numpy as np

        below = tuple(takewhile(facts.free.__getitem__, facts.ascending))
        shares = facts.shares or {}
        skipped = np.array([0.0, *(shares[facts.layers[i].name] for i in below)])
        if not skipped.any():  # an embedding alone, say: dropping it would save nothing
            return (), np.zeros(1)
        return below, skipped

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        yield from share_problems("share", self.share, "it is the share that is skipped")
        yield from unknown(DEPTHS, "depth", self.depth)
        yield from pool_problems(self.pool)
