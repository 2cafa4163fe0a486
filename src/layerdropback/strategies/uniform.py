"""Every layer by itself: the paper's strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..option import is_share, option, pool_problems, share_problems, unusable
from .base import Strategy, ramped

if TYPE_CHECKING:
    from .facts import Facts
    from .odds import Odds


@dataclass(frozen=True)
class Independently(Strategy):
    """Base of strategies that drop single things, each with its own chance."""

    rate: float = option(0.5, "Chance of a layer to drop.", flag="drop_rate")
    rates: Mapping[str, float] | None = field(default=None, hash=False)
    pool: int | None = option(None, "Draw from a pool of so many masks.")

    @property
    def drops(self) -> bool:
        """See `Strategy`."""
        return self.rate > 0 or any(rate > 0 for rate in (self.rates or {}).values())

    @property
    def rate_text(self) -> str:
        """See `Strategy`."""
        own = len(self.rates or {})
        text = f", {own} name{'s' if own > 1 else ''} with another" if own else ""
        return f"rate {self.rate:g}{text}"

    def odds(self, facts: Facts, position: float) -> Odds:
        """See `Strategy`; the last pattern that names a layer, or one of its group, counts."""
        import numpy as np

        from .odds import Independent

        leaders = np.arange(len(facts.layers))
        for group in facts.groups:
            leaders[list(group.layers)] = group.layers[0]
        own = np.full(len(facts.layers), float(self.rate))
        for pattern, rate in (self.rates or {}).items():
            named = [i for i, layer in enumerate(facts.layers) if layer.matches(pattern)]
            own[np.isin(leaders, leaders[named])] = rate
        rates = np.where(facts.free, [ramped(rate, position) for rate in own], 0.0)
        return Independent(rates, leaders)

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        yield from share_problems("rate", self.rate, "it is the chance to be dropped")
        yield from pool_problems(self.pool)
        cure = "give {'a name or pattern': a number in [0, 1), ...}"
        cause = "it maps layers to their drop rates"
        rates = {} if self.rates is None else self.rates
        if not isinstance(rates, Mapping):
            yield from unusable(False, "rates", rates, cause, cure)
            return
        for pattern, own in rates.items():
            good = isinstance(pattern, str) and is_share(own)
            yield from unusable(good, "rates", {pattern: own}, cause, cure)


@dataclass(frozen=True)
class Uniform(Independently):
    """Drop every layer by itself with the same chance (arXiv 2412.18027, section 3).

    A dropped layer gets no weight gradient; gradients still flow through it. What that saves of the
    backward pass's cost is not known (`LayerDropBack.stats`): its recorded step counts no FLOPs.

    Attributes:
        rate: chance of each layer to be dropped in a drop step, in [0, 1); 0 is plain training.
        unit: what drops as one, see `Strategy`.
        keep: names of layers never to drop, see `Strategy`.
        rates: drop rates of some layers, by names as for `keep`; a later pattern goes before an
            earlier one.
        pool: draw from so many masks, in which every layer is dropped equally often; for compiled
            models, which get a graph for each.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> Uniform(0.3, keep=["stem*"]).rate
        0.3
    """

    name: ClassVar[str] = "uniform"
