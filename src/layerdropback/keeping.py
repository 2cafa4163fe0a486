"""Which layers can drop, and which are always kept."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from .layers import Layer
from .order import Order
from .sampling import Rates


@dataclass(frozen=True)
class Plan:
    """Each layer's part in the drop steps.

    Attributes:
        rates: drop rate of each layer, shape ``(layers,)``; 0 where it cannot drop.
        heads: indices of the layers that are kept because they come last (promise 9).
        kept: indices of all layers that are always kept: the heads, and what ``keep`` names.
        trainable: indices of the layers that train: the loss reaches them and they are not frozen.
    """

    rates: Rates
    heads: frozenset[int]
    kept: frozenset[int]
    trainable: frozenset[int]

    @property
    def mean_rate(self) -> float:
        """The rate averaged over the layers that can drop."""
        droppable = self.rates[self.rates > 0]
        return float(droppable.mean()) if droppable.size else 0.0


def make_plan(
    layers: Sequence[Layer],
    order: Order,
    optimizer_parameters: Iterable[AbstractSet[int]],
    keep: Sequence[str],
    drop_rate: float,
) -> Plan:
    """Decide each layer's part from the order of use.

    Args:
        layers: all layers of the model.
        order: the recorded order.
        optimizer_parameters: for each optimizer, the ``id`` of each of its parameters.
        keep: name patterns, see `Layer.matches`.
        drop_rate: probability for each layer that can drop.
    """
    trainable = [i for i, layer in enumerate(layers) if _reached(layer, order)]
    heads: set[int] = set()
    for held in optimizer_parameters:
        heads.update(_last_layer([i for i in trainable if _in(layers[i], held)], layers, order))
    named = {i for i in trainable if any(layers[i].matches(pattern) for pattern in keep)}
    rates = np.zeros(len(layers))
    rates[[i for i in trainable if i not in heads | named]] = drop_rate
    return Plan(rates, frozenset(heads), frozenset(heads | named), frozenset(trainable))


def _reached(layer: Layer, order: Order) -> bool:
    pairs = zip(layer.parameter_names, layer.parameters, strict=True)
    return any(parameter.requires_grad and name in order.first for name, parameter in pairs)


def _in(layer: Layer, held: AbstractSet[int]) -> bool:
    return any(id(p) in held and p.requires_grad for p in layer.parameters)


def _last_layer(candidates: list[int], layers: Sequence[Layer], order: Order) -> list[int]:
    """The classifier: what is used last, with the other tensors of the same module."""
    if not candidates:
        return []
    last = max(candidates, key=lambda i: last_use(layers[i], order))
    owners = set(layers[last].owners)
    return [i for i in candidates if owners & set(layers[i].owners)]


def last_use(layer: Layer, order: Order) -> int:
    """Rank of a layer's last use; -1 where the loss does not reach it."""
    return max((order.last.get(name, -1) for name in layer.parameter_names), default=-1)


def first_use(layer: Layer, order: Order) -> int:
    """Rank of a layer's first use; beyond all others where the loss does not reach it."""
    never = len(order.first)
    return min((order.first.get(name, never) for name in layer.parameter_names), default=never)
