"""Layers in the order of their use."""

from collections.abc import Container, Sequence

from .layers import Layer
from .order import Order


def lateness(layer: Layer, order: Order) -> tuple[bool, int]:
    """Sorts layers by last use, but single numbers (a temperature after the head) before all."""
    last_uses = (order.last.get(name, -1) for name in layer.parameter_names)
    return layer.numel > 1, max(last_uses, default=-1)


def by_first_use(layers: Sequence[Layer], order: Order, early: Container[str] = ()) -> list[int]:
    """The layers' indices, the one that is used first first, those without a use last.

    Of the parameters in `early` the last use counts.
    """
    return sorted(range(len(layers)), key=lambda i: first_use(layers[i], order, early))


def first_use(layer: Layer, order: Order, early: Container[str] = ()) -> float:
    """Rank of a layer's first use; beyond all others where the loss does not reach it."""
    never = len(order.first)
    ranks = (
        _rank_of_last(name, order, early) if name in early else order.first.get(name, never)
        for name in layer.parameter_names
    )
    return min(ranks, default=never)


def _rank_of_last(name: str, order: Order, early: Container[str]) -> float:
    """Right after the first uses of what is used no more; ranks of last uses are other numbers."""
    last = order.last.get(name, len(order.last))
    before = (
        order.first[other]
        for other in order.last
        if order.last[other] < last and other not in early
    )
    return max(before, default=-1) + 0.5
