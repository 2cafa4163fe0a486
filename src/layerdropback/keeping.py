"""Which layers can drop, and which are always kept."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from .layers import Layer
from .order import Order
from .sampling import Mask, Rates


@dataclass(frozen=True)
class Candidates:
    """What can drop.

    Attributes:
        rates: as a plan's, and 0 for the heads, shape ``(layers,)``.
        layers: those with a rate above 0.
        mean_rate: the rate averaged over them; 0 where there are none.
    """

    rates: Rates
    layers: tuple[Layer, ...]
    mean_rate: float


@dataclass(frozen=True)
class Plan:
    """Each layer's part in the drop steps.

    What is frozen plays no part here: the user may unfreeze it at any step, and masking a frozen
    layer changes nothing. Only the heads are chosen anew for each mask.

    Attributes:
        layers: all layers of the model.
        rates: drop rate of each layer, shape ``(layers,)``, heads included; 0 where ``keep`` names
            the layer or the loss does not reach it.
        reached: which layers the loss reaches, shape ``(layers,)``.
        rankings: for each optimizer its layers by their last use, the latest first, each with what
            is kept together with it.
        ends: the layers with which a forward call ended.
    """

    layers: Sequence[Layer]
    rates: Rates
    reached: Mask
    rankings: tuple[tuple[tuple[int, ...], ...], ...]
    ends: frozenset[int]
    _known: dict[frozenset[int], "Candidates"] = field(default_factory=dict, repr=False)

    def heads(self) -> frozenset[int]:
        """The layers that are kept because they come last, as things stand.

        Each optimizer's last layer that is not frozen; of the whole model's last layer, the
        classifier, this is one. Where the model is called for several outputs, each call's last.
        """
        found = set(self.ends)
        for ranking in self.rankings:
            last = next((group for group in ranking if self._trains(group)), ())
            found.update(last or (ranking[0] if ranking else ()))
        return frozenset(found)

    def _trains(self, group: Iterable[int]) -> bool:
        return any(self.layers[i].trainable for i in group)

    def candidates(self, heads: frozenset[int]) -> "Candidates":
        """What can drop while these are the heads; worked out once for each set of heads."""
        if heads not in self._known:
            rates = self.rates.copy()
            rates[list(heads)] = 0
            indices = np.flatnonzero(rates).tolist()
            mean = float(rates[indices].mean()) if indices else 0.0
            self._known[heads] = Candidates(rates, tuple(self.layers[i] for i in indices), mean)
        return self._known[heads]

    def can_drop(self, heads: frozenset[int]) -> bool:
        """Whether there is a layer that trains and is not kept.

        Where all is frozen at this moment, whatever can be unfrozen counts.
        """
        candidates = self.candidates(heads).layers
        if any(layer.trainable for layer in candidates):
            return True
        return bool(candidates) and not any(layer.trainable for layer in self.layers)

    def describe(self, index: int) -> str:
        """A layer's part, in a word or two."""
        if not self.layers[index].trainable:
            return "frozen"
        if not self.reached[index]:
            return "the loss does not reach it"
        kept = self.rates[index] == 0 or index in self.heads()
        return "always kept" if kept else f"{self.rates[index]:g}"


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
    reached = np.array([any(n in order.first for n in la.parameter_names) for la in layers])
    named = np.array([any(layer.matches(pattern) for pattern in keep) for layer in layers])
    rates = np.where(reached & ~named, drop_rate, 0.0)
    ranked = sorted(np.flatnonzero(reached).tolist(), key=_Lateness(layers, order), reverse=True)
    rankings = tuple(
        tuple(_with_siblings(i, held, layers) for i in ranked if _holds(held, layers[i]))
        for held in optimizer_parameters
    )
    ends = {
        sibling
        for i, layer in enumerate(layers)
        if order.ends & set(layer.parameter_names)
        for sibling in _siblings(i, layers)
    }
    return Plan(layers, rates, reached, rankings, frozenset(ends))


class _Lateness:
    """Sorts layers by last use, but single numbers (a temperature after the head) before all."""

    def __init__(self, layers: Sequence[Layer], order: Order):
        self._layers, self._order = layers, order

    def __call__(self, index: int) -> tuple[bool, int]:
        layer = self._layers[index]
        return layer.numel > 1, last_use(layer, self._order)


def _holds(held: AbstractSet[int], layer: Layer) -> bool:
    return any(id(parameter) in held for parameter in layer.parameters)


def _with_siblings(index: int, held: AbstractSet[int], layers: Sequence[Layer]) -> tuple[int, ...]:
    return tuple(i for i in _siblings(index, layers) if _holds(held, layers[i]))


def _siblings(index: int, layers: Sequence[Layer]) -> Iterator[int]:
    """The layer and, where layers are tensors, the other tensors of its module.

    The root's own tensors have nothing in common but their owner.
    """
    owners = set(layers[index].owners) - {""}
    for i, layer in enumerate(layers):
        if i == index or owners & set(layer.owners):
            yield i


def last_use(layer: Layer, order: Order) -> int:
    """Rank of a layer's last use; -1 where the loss does not reach it."""
    return max((order.last.get(name, -1) for name in layer.parameter_names), default=-1)


def first_use(layer: Layer, order: Order) -> int:
    """Rank of a layer's first use; beyond all others where the loss does not reach it."""
    never = len(order.first)
    return min((order.first.get(name, never) for name in layer.parameter_names), default=never)
