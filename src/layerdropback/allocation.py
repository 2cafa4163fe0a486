"""Drop rates of single layers, so that what a step spares is spared where it costs least.

A layer that is dropped with probability p lacks the share p of its gradient on average, so the
squared error is p² times how much the gradient changes when the layer is dropped. The rates that
make the sum of these errors least, while the FLOPs spared stay what an even rate would spare, are
proportional to the layer's FLOPs over that change (issue 5). That rates should differ by what
layers cost and matter is the idea of DropBP (NeurIPS 2024) and LISA (NeurIPS 2024).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .strategies.sampling import Rates

# No rate is above this, unless the mean is: every layer is trained at times.
MOST = 0.9

# What costs less than this part of the most costly one is never dropped: nothing would be spared.
NEGLIGIBLE = 1e-9

# Part of the mean change that is added to each: what was measured on a few batches, or is zero at
# the start (a zero-initialised last normalisation), must not fix a layer's rate at an extreme.
FLOOR = 0.1


@dataclass(frozen=True)
class Weights:
    """What rates of single layers are worked out from, by layer's name.

    Attributes:
        costs: of the backward pass's FLOPs, the share spared when the layer alone is dropped.
        changes: of the squared gradient, the share that changes then; None where that plays no
            part. For branches that drop together, by their first layer.
    """

    costs: Mapping[str, float]
    changes: Mapping[str, float] | None = None

    def updated(self, newer: Mapping[str, float]) -> "Weights":
        """With the costs of another step, in which other layers may have been frozen."""
        return replace(self, costs={**self.costs, **{n: c for n, c in newer.items() if c}})

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        changes = None if self.changes is None else dict(self.changes)
        return {"costs": dict(self.costs), "changes": changes}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Weights":
        """The inverse of `to_state`."""
        return cls(state["costs"], state["changes"])

    def rates(self, rate: float, names: Sequence[str]) -> Rates:
        """The rates of layers, or of branches by their first layer; see `spread`."""
        changes = None
        if self.changes:  # what was frozen when it was measured counts as the others do
            usual = sum(self.changes.values()) / len(self.changes)
            changes = np.array([self.changes.get(name, usual) for name in names])
        return spread(rate, np.array([self.costs.get(name, 0.0) for name in names]), changes)


def spread(rate: float, costs: Rates, changes: Rates | None = None) -> Rates:
    """Rates that spare as much as one rate for all, with the least change of the gradient.

    Args:
        rate: that would be the one for all.
        costs: FLOPs that each spares, shape ``(n,)``.
        changes: how much the gradient changes with each, shape ``(n,)``; None: alike with all.

    Returns:
        Shape ``(n,)``, in [0, `MOST`], or in [0, rate] with a higher rate; 0 where nothing is
        spared.

    Example:
        >>> spread(0.3, np.array([1.0, 3.0])).round(3).tolist()  # 0.3 x 4 FLOPs, as with 0.3 each
        [0.12, 0.36]
        >>> spread(0.3, np.array([1.0, 1.0]), np.array([1.0, 3.0])).round(3).tolist()
        [0.436, 0.164]
    """
    if not costs.any():
        return np.full(len(costs), rate)
    costs = np.where(costs > NEGLIGIBLE * costs.max(), costs, 0.0)
    if rate >= MOST:
        return np.where(costs > 0, rate, 0.0)
    change = np.ones(len(costs)) if changes is None else changes + FLOOR * changes.mean()
    if not change.any():
        change = np.ones(len(costs))
    weights = costs / change
    capped = np.zeros(len(costs), dtype=np.bool_)
    while True:
        rest = max(0.0, rate * costs.sum() - MOST * costs[capped].sum())
        open_ = np.where(capped, 0.0, weights)
        rates = np.where(capped, MOST, open_ * rest / max(float(open_ @ costs), 1e-300))
        over = ~capped & (rates > MOST)
        if not over.any():
            return np.asarray(rates)
        capped |= over
