"""Residual branches, found in the autograd graph, and the layers that drop together with them.

A branch ends in a module whose output every gradient of its parameters passes (in the language of
graphs: it *dominates* them), but not every gradient towards the model's input. Where that output is
detached, the branch's backward pass is skipped whole, and gradients flow by the other way, a skip
connection say (issue 5; DropBP, NeurIPS 2024, does it for transformers that were edited by hand).
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import networkx
from torch import nn

from ..interop.wrappers import canonical_name
from .call_trace import CallTrace, ModuleCall
from .flops import NodeFlops
from .graph import Edge
from .layers import Layer

_Node = int | str  # a node's number in the autograd graph, or what it does not number
_ROOT, _INPUT = "(root)", "(input)"  # above all outputs; all leaves that are no parameters


@dataclass(frozen=True)
class ResidualBranch:
    """A residual branch.

    Attributes:
        name: of the module whose output is detached when the branch is dropped.
        parameter_names: the parameters that get their gradient through it alone.
        share: of the whole backward pass's FLOPs, what is skipped with it.
    """

    name: str
    parameter_names: tuple[str, ...]
    share: float


def branches_of(trace: CallTrace, sizes: Mapping[str, int]) -> tuple[ResidualBranch, ...]:
    """The branches of one forward pass that can be dropped, all at once if need be.

    They come in the order in which the pass ends them. Where parallel branches are all the ways
    there are (a block's convolutions and the projection beside them), the one that costs least is
    left out, so that gradients can always flow. `sizes` are those of `module_sizes`.
    """
    return _Graph(trace, sizes).branches()


def module_sizes(model: nn.Module) -> dict[str, int]:
    """How many numbers the parameters of each module hold, by its name."""
    return {
        canonical_name(name): sum(parameter.numel() for parameter in module.parameters())
        for name, module in model.named_modules()
    }


def merged(
    older: Sequence[ResidualBranch], newer: Sequence[ResidualBranch], seen: Set[str]
) -> tuple[ResidualBranch, ...]:
    """The branches of two forward passes, of which the newer used just the parameters `seen`.

    What only the older one used is frozen by now, and stays with those that it was with.
    """
    kept: list[ResidualBranch] = []
    more: dict[str, list[str]] = defaultdict(list)
    for branch in older:
        frozen = [name for name in branch.parameter_names if name not in seen]
        if len(frozen) == len(branch.parameter_names):
            kept.append(branch)
        elif heirs := [
            one for one in newer if set(one.parameter_names) & set(branch.parameter_names)
        ]:
            same = (one for one in heirs if one.name == branch.name)
            more[next(same, heirs[0]).name] += frozen
    extended = (
        replace(one, parameter_names=(*one.parameter_names, *more[one.name])) for one in newer
    )
    return (*kept, *extended)


class _Graph:
    """A forward pass's graph, with what is needed to tell branches."""

    def __init__(self, trace: CallTrace, sizes: Mapping[str, int]):
        found, names, flops, roots = trace.edges, trace.names, trace.flops, trace.reached
        self._names = names
        self._entries = _entries(found, names)
        self._graph = networkx.DiGraph()
        flow: dict[_Node, float] = defaultdict(float)
        for edge in found:
            child = edge.child if edge.leaf is None else names.get(id(edge.leaf), _INPUT)
            self._graph.add_edge(edge.number, child)
            cost = flops.get(edge.number, NodeFlops())
            if child != _INPUT:  # whose gradient no training wants
                flow[edge.number] += cost.edges.get(edge.position, 0.0)
        # An output on the way to another (a layer's keys, kept for later) is no end of its own.
        self._graph.add_nodes_from(roots)
        inside = set().union(*(networkx.descendants(self._graph, number) for number in roots))
        self._graph.add_edges_from((_ROOT, number) for number in set(roots) - inside)
        for number, cost in flops.items():
            flow[number] += cost.whole + cost.shared
        self._flops = flow
        self._modules = self._ends(trace.calls, sizes)
        self._dominator: dict[_Node, _Node] = networkx.immediate_dominators(self._graph, _ROOT)

    def branches(self) -> tuple[ResidualBranch, ...]:
        """The branches that can be dropped together."""
        members: dict[int, list[str]] = defaultdict(list)
        towards_input = (networkx.ancestors(self._graph, entry) for entry in self._entries)
        passed_by_all = {number for entry in self._entries for number in self._chain(entry)}
        candidates = (self._modules.keys() & set().union(*towards_input)) - passed_by_all
        for name in self._names.values():
            ends = [number for number in self._chain(name) if number in candidates]
            if ends:
                members[ends[-1]].append(name)  # the last is the nearest to the outputs
        costs = self._skipped(members)
        total = sum(flops for node, flops in self._flops.items() if node in self._dominator)
        chosen = self._together(members, costs)
        return tuple(
            ResidualBranch(self._modules[end], tuple(members[end]), costs[end] / max(total, 1.0))
            for end in sorted(chosen)
        )

    def _ends(
        self, calls: Mapping[str, Sequence[ModuleCall]], sizes: Mapping[str, int]
    ) -> dict[int, str]:
        """For each node that is the whole output of one module, called once, the module.

        Where several give on the same tensor, the outermost of those with the most parameters.
        """
        ends: dict[int, str] = {}
        for name, made in calls.items():
            outputs = {n for call in made for n in call.outputs if n in self._graph}
            if not len(made) == len(outputs) == 1:
                continue
            (end,) = outputs
            if end not in ends or sizes[name] > sizes[ends[end]]:
                ends[end] = name
        return ends

    def _chain(self, node: _Node) -> Iterable[_Node]:
        """The nodes that all gradients of this one pass, the nearest to it first."""
        while True:
            above = self._dominator.get(node)
            if above is None or above in (node, _ROOT):
                return
            node = above
            yield node

    def _skipped(self, ends: Iterable[int]) -> dict[int, float]:
        """FLOPs that are skipped when nothing flows through a node."""
        skipped = dict.fromkeys(ends, 0.0)
        for node, flops in self._flops.items():
            if node in self._dominator and flops:
                for above in (node, *self._chain(node)):
                    if above in skipped:
                        skipped[above] += flops
        return skipped

    def _together(
        self, members: Mapping[int, Sequence[str]], costs: Mapping[int, float]
    ) -> list[int]:
        """As many ends, the most costly first, as leave a way to everything that is no branch's."""
        chosen: list[int] = []
        needed = {*self._entries, *(set(self._names.values()) & self._dominator.keys())}
        for end in sorted(members, key=lambda end: (-costs[end], end)):
            without = networkx.restricted_view(self._graph, [*chosen, end], [])
            reached = networkx.descendants(without, _ROOT)
            if needed - set(members[end]) <= reached:
                chosen.append(end)
                needed -= set(members[end])
        return chosen


def _entries(found: Iterable[Edge], names: Mapping[int, str]) -> list[int]:
    """The nodes with which the input enters: the first uses of what is no parameter.

    Tokens have no gradient; then the very first use of a parameter, their embedding's, is it.
    """
    first: dict[int, int] = {}
    uses = [edge for edge in found if edge.leaf is not None]
    for edge in [edge for edge in uses if id(edge.leaf) not in names] or uses:
        key = id(edge.leaf) if id(edge.leaf) not in names else 0
        first[key] = min(first.get(key, edge.number), edge.number)
    return list(first.values())


@dataclass(frozen=True)
class Group:
    """Layers that drop together, because branches do."""

    layers: tuple[int, ...]  # their indices, rising
    modules: tuple[str, ...]  # the names of those whose outputs are cut off
    share: float = 0.0  # of the backward pass's FLOPs, what is skipped with them


def make_groups(
    layers: Sequence[Layer], branches: Sequence[ResidualBranch], reached: Container[str]
) -> Iterator[Group]:
    """Join the branches that share a layer, and leave out what a layer has outside of branches.

    What the loss has not `reached`, as it is frozen, has no say.
    """
    of_name = {name: b for b, branch in enumerate(branches) for name in branch.parameter_names}
    graph: networkx.Graph = networkx.Graph()
    for i, layer in enumerate(layers):
        for name in layer.parameter_names:
            if name in reached or name in of_name:
                graph.add_edge(("layer", i), ("branch", of_name.get(name, -1)))
    for part in networkx.connected_components(graph):
        if ("branch", -1) in part:
            continue
        mine = sorted(i for kind, i in part if kind == "layer")
        ends = sorted(b for kind, b in part if kind == "branch")
        share = float(sum(branches[b].share for b in ends))
        yield Group(tuple(mine), tuple(branches[b].name for b in ends), share)
