"""Residual branches: what the gradient can flow around, found in the autograd graph.

A branch ends in a module whose output every gradient of its parameters passes (in the language of
graphs: it *dominates* them), but not every gradient towards the model's input. Where that output is
detached, the branch's backward pass is skipped whole, and gradients flow by the other way, a skip
connection say (issue 5; DropBP, NeurIPS 2024, does it for transformers that were edited by hand).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

import networkx
import torch
from torch import nn

from ..errors import AttachError, explain
from ..interop.wrappers import canonical_name, unwrap
from ..lab.profiling.trial import Loss, Trial, first_output
from .flops import ForwardFlops, NodeFlops
from .graph import Edge, edges, graph_roots
from .nested import tensors_in

_Node = int | str  # a node's number in the autograd graph, or what it does not number
_ROOT, _INPUT = "(root)", "(input)"  # above all outputs; all leaves that are no parameters


@dataclass(frozen=True)
class Branch:
    """A residual branch.

    Attributes:
        name: of the module whose output is detached when the branch is dropped.
        parameter_names: the parameters that get their gradient through it alone.
        share: of the whole backward pass's FLOPs, what is skipped with it.
    """

    name: str
    parameter_names: tuple[str, ...]
    share: float


def find_branches(model: nn.Module, batch: Any, loss: Loss | None = None) -> tuple[Branch, ...]:
    """Find the branches that can be dropped, all at once if need be.

    Where parallel branches are all the ways there are (a block's convolutions and the projection
    beside them), the one that costs least is left out, so that gradients can always flow.

    Args:
        model: stays as it is; a copy without data makes a forward pass. Frozen parameters count.
        batch: what the model is called with: a tensor, a tuple of arguments, or a mapping of
            keyword arguments. Only shapes and types count.
        loss: makes a tensor, or several, of the model's outputs, through which all gradients come;
            by default the first floating-point tensor in them.

    Returns:
        The branches in the order in which the forward pass ends them.

    Raises:
        AttachError: there is none, as in a model without skip connections.

    Example:
        >>> class Residual(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.inner = nn.Linear(4, 4)
        ...     def forward(self, x):
        ...         return x + self.inner(x)
        >>> model = nn.Sequential(nn.Linear(3, 4), Residual(), nn.Linear(4, 2))
        >>> (branch,) = find_branches(model, torch.ones(1, 3))
        >>> branch.name, branch.parameter_names
        ('1.inner', ('1.inner.weight', '1.inner.bias'))
    """
    inner = unwrap(model)
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
        graph = _trace(inner, batch, loss or first_output)
    branches = graph.branches()
    if not branches:
        fact = f"{type(inner).__name__} has no residual branch"
        cause = "no module's output can be detached so that gradients still flow past it"
        raise AttachError([explain(fact, cause, "use strategy='truncate' or 'uniform'")])
    return branches


def _trace(model: nn.Module, batch: Any, loss: Loss) -> "_Graph":
    """The graph of one forward pass in which everything wants a gradient."""
    trial = Trial(model, batch, loss)
    names = {}
    for name, parameter in trial.model.named_parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_()
        names[id(parameter)] = canonical_name(name)
    for tensor in tensors_in(trial.batch):
        if tensor.is_floating_point():
            tensor.requires_grad_()
    outputs: dict[str, list[list[int]]] = defaultdict(list)
    for name, module in trial.model.named_modules():
        if name:
            module.register_forward_hook(partial(_note, outputs[canonical_name(name)]))
    with ForwardFlops() as counter:
        roots = graph_roots(trial.forward())
    sizes = {
        canonical_name(name): sum(parameter.numel() for parameter in module.parameters())
        for name, module in trial.model.named_modules()
    }
    return _Graph(
        [root._sequence_nr() for root in roots],
        list(edges(roots)),
        names,
        counter.nodes,
        {name: calls[0] for name, calls in outputs.items() if len(calls) == 1},
        sizes,
    )


def _note(calls: list[list[int]], module: nn.Module, args: Any, output: Any) -> None:
    """Keep the numbers of an output's nodes."""
    calls.append([t.grad_fn._sequence_nr() for t in tensors_in(output) if t.grad_fn is not None])


class _Graph:
    """A forward pass's graph, with what is needed to tell branches.

    Args:
        roots: numbers of the outputs' nodes.
        found: the graph's edges.
        names: of the parameters, by ``id``.
        flops: of the nodes.
        outputs: for each module that was called once, the numbers of its outputs' nodes.
        sizes: parameters in each module.
    """

    def __init__(
        self,
        roots: Sequence[int],
        found: Sequence[Edge],
        names: Mapping[int, str],
        flops: Mapping[int, NodeFlops],
        outputs: Mapping[str, Sequence[int]],
        sizes: Mapping[str, int],
    ):
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
        self._modules = self._ends(outputs, sizes)
        self._dominator: dict[_Node, _Node] = networkx.immediate_dominators(self._graph, _ROOT)

    def branches(self) -> tuple[Branch, ...]:
        """The branches that can be dropped together."""
        members: dict[int, list[str]] = defaultdict(list)
        through = {number for entry in self._entries for number in self._chain(entry)}
        reaching = self._reaching()
        for name in self._names.values():
            if name not in self._dominator:
                continue
            ends = [
                number
                for number in self._chain(name)
                if number in self._modules and number not in through and number in reaching
            ]
            if ends:
                members[ends[-1]].append(name)  # the last is the nearest to the outputs
        costs = self._skipped(members)
        total = sum(flops for node, flops in self._flops.items() if node in self._dominator)
        chosen = self._together(members, costs)
        return tuple(
            Branch(self._modules[end], tuple(members[end]), costs[end] / max(total, 1.0))
            for end in sorted(chosen)
        )

    def _ends(
        self, outputs: Mapping[str, Sequence[int]], sizes: Mapping[str, int]
    ) -> dict[int, str]:
        """For each node that is one module's whole output, the module.

        Where several give on the same tensor, the outermost of those with the most parameters.
        """
        ends: dict[int, str] = {}
        for name, numbers in outputs.items():
            reached = {number for number in numbers if number in self._graph}
            if len(reached) != 1:
                continue
            (end,) = reached
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

    def _reaching(self) -> AbstractSet[_Node]:
        """The nodes through which gradients towards the input flow."""
        return set().union(*(networkx.ancestors(self._graph, entry) for entry in self._entries))

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
