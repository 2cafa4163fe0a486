"""The autograd graph: where it begins in a model's outputs, and what lies behind them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.autograd.graph import Node

from ..errors import AttachError, explain
from ..interop.wrappers import compile_ignores_flags

# The node that stands for a graph that torch.compile made.
COMPILED = "CompiledFunctionBackward"


@dataclass
class _Search:
    tensors: list[torch.Tensor] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def visit(self, value: object) -> None:
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return
        if isinstance(value, (str, bytes, int, float, nn.Module)) or id(value) in self.seen:
            return
        self.seen.add(id(value))
        if isinstance(value, Mapping):
            parts: Iterable[object] = value.values()
        elif isinstance(value, (list, tuple)):
            parts = value
        else:  # dataclasses and the like
            slots = (getattr(value, name, None) for name in getattr(value, "__slots__", ()))
            parts = (*getattr(value, "__dict__", {}).values(), *slots)
        for part in parts:
            self.visit(part)


def output_tensors(outputs: object) -> list[torch.Tensor]:
    """Every tensor in a model's output, however it is nested, in an order that stays.

    Example:
        >>> len(output_tensors({"logits": [torch.ones(2), torch.ones(1)], "names": "ab"}))
        2
    """
    search = _Search()
    search.visit(outputs)
    return search.tensors


def graph_roots(outputs: object) -> list[Node]:
    """The graph nodes of every tensor in a model's output, however it is nested.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> [node.name() for node in graph_roots({"logits": [weight.exp()], "names": "ab"})]
        ['ExpBackward0']
    """
    nodes = (tensor.grad_fn for tensor in output_tensors(outputs))
    return list(dict.fromkeys(node for node in nodes if node is not None))


@dataclass(frozen=True)
class Edge:
    """From a node of the graph to what its gradient flows to.

    Attributes:
        number: the node's. Autograd numbers its nodes as the forward pass makes them, which orders
            parallel branches as they ran; a walk alone would not.
        position: of the edge among the node's inputs.
        child: the number of the node that it leads to; None where it leads to a leaf.
        leaf: the parameter, or another leaf, that it leads to.
    """

    number: int
    position: int
    child: int | None
    leaf: torch.Tensor | None


def edges(roots: Iterable[Node]) -> Iterator[Edge]:
    """Walk the graph behind some nodes, in no order.

    Raises:
        AttachError: the graph hides which parameters are used where.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> [edge.leaf is weight for edge in edges(graph_roots(weight.exp()))]
        [True]
    """
    stack = list(roots)
    seen = set(stack)
    while stack:
        node = stack.pop()
        _refuse_opaque(node)
        number: int = node._sequence_nr()
        for position, (child, _) in enumerate(node.next_functions):
            if child is None:
                continue
            leaf = _leaf(child)
            if leaf is not None:
                yield Edge(number, position, None, leaf)
                continue
            yield Edge(number, position, child._sequence_nr(), None)
            if child not in seen:
                seen.add(child)
                stack.append(child)


def _leaf(node: Node) -> torch.Tensor | None:
    """The parameter that a node stands for; autocast casts one once, for all of its uses."""
    if node.name() == "ToCopyBackward0" and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    variable: torch.Tensor | None = getattr(node, "variable", None)  # of AccumulateGrad alone
    return variable


def _refuse_opaque(node: Node) -> None:
    """Some nodes stand for many layers, and say nothing of their order."""
    kind = node.name()
    if kind == "CheckpointFunctionBackward":
        fact = "the model uses reentrant checkpointing"
        cause = "it hides its layers from autograd, and kept layers would get no gradient"
        raise AttachError([explain(fact, cause, "checkpoint(..., use_reentrant=False)")])
    if kind == COMPILED:
        cause = "one graph node stands for all of its layers, so the classifier cannot be told"
        raise AttachError([compiled_too_late(cause)])


def compiled_too_late(cause: str) -> str:
    """The problem of a model that was attached first and compiled as a whole then."""
    fact = "the model was compiled as a whole after the attachment"
    whole = "attach to the compiled model, LayerDropBack(torch.compile(model), ...), or "
    blocks = "compile block by block with unit='block'"
    return explain(fact, cause, blocks if compile_ignores_flags() else whole + blocks)


def compiled_leaves(roots: Iterable[Node]) -> Iterator[list[torch.Tensor]]:
    """The parameters that each compiled graph right behind an output holds."""
    for node in roots:
        if node.name() == COMPILED:
            leaves = (getattr(child, "variable", None) for child, _ in node.next_functions)
            yield [leaf for leaf in leaves if leaf is not None]
