"""What a backward pass costs, and what each cut saves of it."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
from torch import nn

from ..errors import AttachError, explain
from .flops import NodeFlops
from .graph import Edge
from .layers import Layer
from .order import Order, by_first_use

# The place of what wants no gradient, and that of a leaf whose gradient dropping never saves.
_NEVER, _ALWAYS = -math.inf, math.inf

# A leaf that is neither a parameter nor an input, and is of no use to anyone.
_SOURCE = "(source)"

# After the name of a parameter that is used again in the same pass.
_EARLY = " (early)"


class BackwardCosts:
    """FLOPs of the backward passes of one step, by what they are spent for.

    The names are those of parameters, by ``id``; some may be added later.
    """

    def __init__(self, names: Mapping[int, str]):
        self._names = names
        self._edges: dict[tuple[int, int], tuple[int | None, str | None, float]] = {}
        self._whole: dict[int, float] = {}

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
        named = sorted(((e, self._name(e, inputs)) for e in edges), key=lambda one: one[0].number)
        last = {name: edge.number for edge, name in named}
        for edge, name in named:
            cost = flops.get(edge.number, nothing)
            use = name + _EARLY if name is not None and edge.number < last[name] else name
            of_edge = cost.edges.get(edge.position, 0.0) + cost.shared / fan[edge.number]
            self._edges[edge.number, edge.position] = (edge.child, use, of_edge)
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
            child, _, _ = self._edges[number, position]
            if number in live and child is not None:
                live.add(child)
        self._edges = {key: edge for key, edge in self._edges.items() if key[0] in live}
        self._whole = {number: whole for number, whole in self._whole.items() if number in live}

    def by_place(
        self, places: Mapping[str, int], early: Mapping[str, int] | None = None
    ) -> dict[float, float]:
        """FLOPs by the highest place among the parameters that they are spent for.

        When all parameters below some place are dropped, the FLOPs of lower places are saved, and
        no others. What is spent for the inputs, too, has the place ``inf``. A parameter without a
        place wants no gradient; `early` has the place of all its uses but the last, where that is
        another one.
        """
        of_uses: dict[str, float] = dict(places)
        of_uses |= {name + _EARLY: place for name, place in {**places, **(early or {})}.items()}
        spent: dict[float, float] = defaultdict(float)
        highest: dict[int, float] = {}  # of what each node's gradients flow to
        for number, position in sorted(self._edges):  # nodes come after what they depend on
            child, use, flops = self._edges[number, position]
            if child is not None:
                place = highest.get(child, _NEVER)
            else:
                place = _ALWAYS if use is None else of_uses.get(use, _NEVER)
            highest[number] = max(place, highest.get(number, _NEVER))
            spent[place] += flops
        for number, place in highest.items():
            spent[place] += self._whole[number]
        return {place: flops for place, flops in spent.items() if flops and place > _NEVER}


# By layer's name, of the backward pass's cost: what is skipped with the layer and all before it.
Shares = Mapping[str, float]


def depth_shares(
    layers: Sequence[Layer], order: Order, costs: BackwardCosts, early: Set[str]
) -> Shares:
    """What is skipped of the backward pass's cost by a cut above each layer.

    Of the parameters in `early` every cut drops all uses but the last.

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
    spent = costs.by_place(places, dict.fromkeys(early, 0))
    total = sum(spent.values())
    if not total:
        cause = "the backward pass has no product or convolution whose cost could be counted"
        fact = "cuts cannot be weighed in this model"
        raise AttachError([explain(fact, cause, "use Uniform()")])
    skipped = np.cumsum([spent.get(place, 0.0) for place in range(len(ranked))]) / total
    return {layers[i].name: float(share) for i, share in zip(ranked, skipped, strict=True)}
