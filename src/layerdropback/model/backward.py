"""What a backward pass costs, and what each cut saves of it."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
from torch import nn

from ..errors import AttachError, explain
from .flops import NodeFlops
from .graph import Edge
from .layers import Layer
from .order import Order, by_first_use
from .uses import early_among

# The place of what wants no gradient, and that of a leaf whose gradient dropping never saves.
_NEVER, _ALWAYS = -math.inf, math.inf

# A leaf that is neither a parameter nor an input, and is of no use to anyone.
_SOURCE = "(source)"


class _Use(NamedTuple):
    """What an edge of a graph leads to, and the FLOPs of the gradient that flows along it."""

    child: int | None  # a node, or None: a leaf
    name: str | None  # of the leaf
    flops: float
    forward: int  # the forward pass that it belongs to


class BackwardCosts:
    """FLOPs of the backward passes of one step, by what they are spent for.

    The names are those of parameters, by ``id``; some may be added later.
    """

    def __init__(self, names: Mapping[int, str]):
        self._names = names
        self._edges: dict[tuple[int, int], _Use] = {}
        self._whole: dict[int, float] = {}
        self._passes = 0

    def add(
        self, edges: Iterable[Edge], flops: Mapping[int, NodeFlops], inputs: Set[int] | None = None
    ) -> None:
        """Take one forward pass in: its graph, with the FLOPs of the nodes.

        `inputs` has the ``id`` of each leaf that is an argument of the model. The gradients of
        other leaves that are no parameters (a hook made an activation require one) are saved by
        dropping. None: all such leaves are inputs.
        """
        nothing, edges = NodeFlops(), list(edges)
        fan = Counter(edge.number for edge in edges)
        self._passes += 1
        for edge in edges:
            cost, name = flops.get(edge.number, nothing), self._name(edge, inputs)
            of_edge = cost.edges.get(edge.position, 0.0) + cost.shared / fan[edge.number]
            use = _Use(edge.child, name, of_edge, self._passes)
            self._edges[edge.number, edge.position] = use
            self._whole[edge.number] = cost.whole

    def _name(self, edge: Edge, inputs: Set[int] | None) -> str | None:
        leaf = edge.leaf
        if leaf is None or id(leaf) in self._names:
            return self._names.get(id(leaf))
        is_input = inputs is None or id(leaf) in inputs
        return None if is_input or isinstance(leaf, nn.Parameter) else _SOURCE

    def leave_out(self, reached: Set[int]) -> None:
        """Keep only what lies behind these nodes: the loss has not reached the other outputs."""
        live = set(reached)
        for number, position in sorted(self._edges, reverse=True):
            child = self._edges[number, position].child
            if number in live and child is not None:
                live.add(child)
        self._edges = {key: edge for key, edge in self._edges.items() if key[0] in live}
        self._whole = {number: whole for number, whole in self._whole.items() if number in live}

    def by_place(
        self, places: Mapping[str, int], cut: Set[str] = frozenset()
    ) -> dict[float, float]:
        """FLOPs by the highest place among the parameters that they are spent for.

        When all parameters below some place are dropped, the FLOPs of lower places are saved, and
        no others. What is spent for the inputs, too, has the place ``inf``. A parameter without a
        place wants no gradient. The uses of those in `cut` that later ones depend on have place 0.
        """
        early = {(number, name) for name in cut for number in self._early(name)}
        spent: dict[float, float] = defaultdict(float)
        highest: dict[int, float] = {}  # of what each node's gradients flow to
        for (number, _), use in sorted(self._edges.items()):  # after what they depend on
            if use.child is not None:
                place = highest.get(use.child, _NEVER)
            elif use.name is None:
                place = _ALWAYS
            else:
                place = 0 if (number, use.name) in early else places.get(use.name, _NEVER)
            highest[number] = max(place, highest.get(number, _NEVER))
            spent[place] += use.flops
        for number, place in highest.items():
            spent[place] += self._whole[number]
        return {place: flops for place, flops in spent.items() if flops and place > _NEVER}

    def _early(self, name: str) -> Iterator[int]:
        """The nodes of a parameter's uses that later ones of the same forward pass depend on."""
        uses: dict[int, set[int]] = defaultdict(set)  # by forward pass
        children: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for (number, _), use in self._edges.items():
            if use.child is not None:
                children[use.forward][number].add(use.child)
            elif use.name == name:
                uses[use.forward].add(number)
        for forward, numbers in uses.items():
            yield from early_among(children[forward], sorted(numbers))


# By layer's name, of the backward pass's cost: what is skipped with the layer and all before it.
Shares = Mapping[str, float]


def depth_shares(
    layers: Sequence[Layer], order: Order, costs: BackwardCosts, early: Set[str]
) -> Shares:
    """What is skipped of the backward pass's cost by a cut above each layer.

    Of the parameters in `early` every cut drops the uses that later ones depend on.

    Raises:
        AttachError: no cost was counted, so that no cut can be weighed.
    """
    ranked = by_first_use(layers, order, early)
    places = {
        name: place
        for place, i in enumerate(ranked)
        for name in layers[i].parameter_names
        if name in order.first
    }
    spent = costs.by_place(places, early)
    total = sum(spent.values())
    if not total:
        cause = "the backward pass has no product or convolution whose cost could be counted"
        fact = "cuts cannot be weighed in this model"
        raise AttachError([explain(fact, cause, "use Uniform()")])
    skipped = np.cumsum([spent.get(place, 0.0) for place in range(len(ranked))]) / total
    return {layers[i].name: float(share) for i, share in zip(ranked, skipped, strict=True)}
