"""When each parameter is used: the order of the autograd graph, recorded from one full step.

Neither registration order nor module hooks can tell it: ``nn.MultiheadAttention.out_proj`` never
fires a hook, and a position embedding belongs to the root module.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..option import plain
from .layers import Layer


@dataclass(frozen=True)
class Order:
    """The use of parameters in one full step, by name.

    Attributes:
        first: rank of each parameter's first use in the forward pass, 0 for the earliest.
        last: rank of its last use; differs from `first` for tied and shared parameters.
        unreached: trainable parameters that the loss did not reach.
        ends: parameters that are used last before an output that the loss reached, or before an
            activation whose gradient the loop asks for.
        behind: what each end is made with, as far as known, the parameter that is used last first.
    """

    first: Mapping[str, int]
    last: Mapping[str, int]
    unreached: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    behind: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        """Whether the parameter was trainable in a recorded step."""
        return name in self.first or name in self.unreached

    def updated(self, newer: "Order") -> "Order":
        """Take the newer recording, and keep what only this one knows.

        What was frozen, or not reached, while the newer one was made is in the older one alone; it
        stays behind what it was behind.
        """
        only = self.first.keys() - newer.first.keys()
        # What lies behind an end that is frozen now takes its place, while it is.
        frozen = (end for end in self.ends if not newer.knows(end))
        instead = {name for end in frozen for name in self.behind.get(end, ())}
        ends = self.ends | (newer.ends - instead)
        behind = {**newer.behind, **self.behind}
        for end in newer.behind.keys() & self.behind.keys():
            behind[end] = tuple(_merged(ranks(self.behind[end]), ranks(newer.behind[end])))
        return Order(
            first=_merged(self.first, newer.first),
            last=_merged(self.last, newer.last),
            unreached=(newer.unreached | self.unreached).difference(only, newer.first),
            ends=ends,
            behind={end: names for end, names in behind.items() if end in ends},
        )

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        return {name: plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Order":
        """The inverse of `to_state`."""
        unreached, ends = frozenset(state["unreached"]), frozenset(state["ends"])
        behind = {end: tuple(names) for end, names in state.get("behind", {}).items()}
        return cls(dict(state["first"]), dict(state["last"]), unreached, ends, behind)


def ranks(names: Iterable[str]) -> dict[str, int]:
    """Each name's place."""
    return {name: rank for rank, name in enumerate(names)}


def _merged(older: Mapping[str, int], newer: Mapping[str, int]) -> dict[str, int]:
    """The newer ranks; what the older ones have alone comes right after what it came after."""
    ordered = sorted(older, key=older.__getitem__)
    after = dict(pairwise([None, *ordered]))
    found: list[str] = []
    for name in (None, *sorted(newer, key=newer.__getitem__)):
        found += [] if name is None else [name]
        only = after.get(name)
        while only is not None and only not in newer:
            found.append(only)
            only = after.get(only)
    return ranks(found)


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
