"""What a backward pass costs, for any set of parameters that still wants gradients."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from torch import nn

from .formulas import NodeFlops
from .graph import Edge

# The places of what wants no gradient, and of what no dropping spares: a leaf that is no parameter.
_NEVER, _ALWAYS = -math.inf, math.inf

# A leaf that is neither a parameter nor an input, and is of no use to anyone.
_SOURCE = "(source)"

# After the name of a parameter that is used again in the same pass.
_EARLY = " (early)"


class BackwardCosts:
    """FLOPs of the backward passes of one step, by what they are spent for.

    Args:
        names: of the model's parameters, by ``id``.

    Example:
        >>> import torch
        >>> from layerdropback.model.flops import ForwardFlops
        >>> from layerdropback.model.graph import edges, graph_roots
        >>> layers = (torch.nn.Linear(8, 8, bias=False) for _ in range(3))
        >>> model = torch.nn.Sequential(*layers)
        >>> costs = BackwardCosts({id(p): name for name, p in model.named_parameters()})
        >>> with ForwardFlops() as counter:
        ...     out = model(torch.ones(1, 8))
        >>> costs.add(edges(graph_roots(out)), counter.nodes)
        >>> costs.of({"2.weight"}), costs.of({"1.weight", "2.weight"})  # 128 for each product
        (128.0, 384.0)
    """

    def __init__(self, names: Mapping[int, str]):
        self._names = names  # to which some may be added
        self._edges: dict[tuple[int, int], tuple[int | None, str | None, float]] = {}
        self._in_order: list[tuple[int, int | None, str | None]] = []
        self._whole: dict[int, float] = {}

    def add(
        self,
        edges: Iterable[Edge],
        flops: Mapping[int, NodeFlops],
        inputs: AbstractSet[int] | None = None,
    ) -> None:
        """Take one forward pass in.

        Args:
            edges: of its graph.
            flops: of the graph's nodes.
            inputs: the ``id`` of each leaf that is an argument of the model. Other leaves that are
                no parameters (a hook made an activation require a gradient) are spared by dropping.
                None: all such leaves are inputs.
        """
        nothing, edges = NodeFlops(), list(edges)
        self._in_order.clear()
        fan = Counter(edge.number for edge in edges)
        last: dict[str | None, int] = {}
        for edge in edges:
            name = self._name(edge, inputs)
            last[name] = max(last.get(name, edge.number), edge.number)
        for edge in edges:
            cost = flops.get(edge.number, nothing)
            name = self._name(edge, inputs)
            if name is not None and edge.number < last[name]:
                name += _EARLY
            of_edge = cost.edges.get(edge.position, 0.0) + cost.shared / fan[edge.number]
            self._edges[edge.number, edge.position] = (edge.child, name, of_edge)
            self._whole[edge.number] = cost.whole

    def _name(self, edge: Edge, inputs: AbstractSet[int] | None) -> str | None:
        leaf = edge.leaf
        if leaf is None or id(leaf) in self._names:
            return self._names.get(id(leaf))
        spared = inputs is not None and id(leaf) not in inputs
        return _SOURCE if spared and not isinstance(leaf, nn.Parameter) else None

    def of(self, wanted: AbstractSet[str]) -> float:
        """FLOPs of the backward passes when just these parameters want a gradient."""
        return sum(self.by_place(dict.fromkeys(wanted, 0)).values())

    def by_place(
        self, places: Mapping[str, int], early: Mapping[str, int] | None = None
    ) -> dict[float, float]:
        """FLOPs by the highest place among the parameters that they are spent for.

        When all parameters below some place are dropped, the FLOPs of lower places are spared, and
        no others.

        Args:
            places: of each parameter; one without a place wants no gradient.
            early: of all uses but the last, for parameters where that is another place.
        """
        spent: dict[float, float] = {}
        for place, flops in self._spent(_of_uses(places, early or {})):
            spent[place] = spent.get(place, 0.0) + flops
        return spent

    def of_weights(self, wanted: AbstractSet[str]) -> float:
        """The part of `of` that no gradient with respect to the inputs would need.

        Inputs are the leaves that are no parameters by `names`; they are taken to want none.
        """
        places = _of_uses(dict.fromkeys(wanted, 0.0))
        towards_inputs = self._highest({}, others=0.0)
        wanting = self._highest(places, others=_NEVER)
        total = 0.0
        for child, name, flops in self._edges.values():
            to_inputs = self._place(child, name, {}, towards_inputs, others=0.0) > _NEVER
            wants = self._place(child, name, places, wanting, others=_NEVER) > _NEVER
            total += flops * (wants and not to_inputs)
        return total

    def _spent(self, places: Mapping[str, float]) -> Iterator[tuple[float, float]]:
        """Each cost with the highest place that it is spent for."""
        highest = self._highest(places, others=_ALWAYS)
        for child, name, flops in self._edges.values():
            place = self._place(child, name, places, highest, _ALWAYS)
            if flops and place > _NEVER:
                yield place, flops
        for number, place in highest.items():
            if self._whole[number]:
                yield place, self._whole[number]

    def _highest(self, places: Mapping[str, float], others: float) -> dict[int, float]:
        """For each node that a gradient flows through the highest place that it flows to."""
        highest: dict[int, float] = {}
        if not self._in_order:  # of their making: nodes come after what they depend on
            entries = sorted(self._edges.items())
            self._in_order = [(number, child, name) for (number, _), (child, name, _) in entries]
        for number, child, name in self._in_order:
            place = self._place(child, name, places, highest, others)
            if place > highest.get(number, _NEVER):
                highest[number] = place
        return highest

    @staticmethod
    def _place(
        child: int | None,
        name: str | None,
        places: Mapping[str, float],
        highest: Mapping[int, float],
        others: float,
    ) -> float:
        """Of what one edge leads to; `others` is that of leaves that are no parameters."""
        if child is not None:
            return highest.get(child, _NEVER)
        return others if name is None else places.get(name, _NEVER)


def _of_uses(
    places: Mapping[str, float], early: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The places of all uses; early ones have their parameter's, or one of their own."""
    of_early = {name + _EARLY: place for name, place in {**places, **(early or {})}.items()}
    return {**places, **of_early}
