"""The autograd graph: where it begins in a model's outputs, and what lies behind them."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import Node

from ..errors import AttachError, explain
from ..interop.compiling import COMPILED, compile_ignores_flags
from ..interop.private import node_number

_Numbers = Set[int]
_NONE: _Numbers = frozenset()


def output_tensors(outputs: object) -> list[Tensor]:
    """Every tensor in a model's output, however it is nested, in an order that stays."""
    tensors: list[Tensor] = []
    waiting, seen = [outputs], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            tensors.append(value)
        elif not isinstance(value, _NOTHING_IN) and id(value) not in seen:
            seen.add(id(value))
            waiting += reversed(_parts(value))
    return tensors


_NOTHING_IN = (str, bytes, int, float, type(None), type, nn.Module)


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    # Dataclasses and the like; a mapping that computes its values is not asked for them.
    slots = (getattr(value, name, None) for name in getattr(value, "__slots__", ()))
    return [*getattr(value, "__dict__", {}).values(), *slots]


def made_by(values: object) -> dict[Node, Tensor]:
    """The tensors in some values that a graph has made, by the node that made each."""
    tensors = output_tensors(values)
    return {tensor.grad_fn: tensor for tensor in tensors if tensor.grad_fn is not None}


def graph_roots(outputs: object) -> list[Node]:
    """The graph nodes of every tensor in a model's output, however it is nested."""
    return list(made_by(outputs))


@dataclass(frozen=True)
class Edge:
    """From a node of the graph to what its gradient flows to.

    Attributes:
        number: the node's. Autograd numbers its nodes as the forward pass makes them, which orders
            parallel branches as they ran; a walk alone would not.
        position: of the edge among the node's inputs.
        child: the number of the node that it leads to; None where it leads to a leaf.
        leaf: the parameter, or another leaf, that it leads to; an argument of the model is one.
    """

    number: int
    position: int
    child: int | None
    leaf: Tensor | None


def edges(
    roots: Iterable[Node], arguments: Mapping[Node, Tensor] | None = None, walked: _Numbers = _NONE
) -> Iterator[Edge]:
    """Walk the graph behind some nodes, in no order.

    Not what lies behind `arguments` of the model, which come by the node that made each, nor behind
    nodes of the numbers `walked`. A graph that hides what is used where is an `AttachError`.
    """
    ends = arguments or {}
    for node, position, child in _walk(roots, ends.keys(), walked):
        _refuse_opaque(node)
        leaf = ends[child] if child in ends else leaf_of(child)
        below = node_number(child) if leaf is None else None
        yield Edge(node_number(node), position, below, leaf)


def leads_to(node: Node | None, numbers: Set[int]) -> bool:
    """Whether a node of these numbers lies behind a node, or is that node.

    Example:
        >>> import torch
        >>> made = torch.ones(2, requires_grad=True).exp()
        >>> leads_to(made.sum().grad_fn, {node_number(made.grad_fn)})
        True
    """
    if node is None or not numbers:
        return False
    if node_number(node) in numbers:  # as it is where a loop calls part after part
        return True
    stack, seen, oldest = [node], {node}, min(numbers)
    while stack:
        node = stack.pop()
        if node_number(node) in numbers:
            return True
        for child, _ in node.next_functions:
            # Nodes come after what they depend on.
            if child is not None and child not in seen and node_number(child) >= oldest:
                seen.add(child)
                stack.append(child)
    return False


def first_uses(
    roots: Iterable[Node], arguments: Set[Node] = frozenset(), walked: _Numbers = _NONE
) -> dict[Tensor, int]:
    """Every leaf of the graph with the number of its first use; opaque nodes are looked through.

    What lies behind nodes that made `arguments` of the model is left out, and behind those of the
    numbers `walked`.
    """
    found: dict[Tensor, int] = {}
    roots = (node for node in roots if node_number(node) not in walked)
    for node, _, child in _walk(roots, arguments, walked):
        leaf = None if child in arguments else leaf_of(child)
        if leaf is not None:
            number = node_number(node)
            found[leaf] = min(number, found.get(leaf, number))
    return found


def _walk(
    roots: Iterable[Node], ends: Set[Node], walked: Set[int]
) -> Iterator[tuple[Node, int, Node]]:
    """Each node of the graph with the position and the end of each of its edges."""
    stack = [node for node in roots if node not in ends]
    seen = {*stack, *ends}
    while stack:
        node = stack.pop()
        for position, (child, _) in enumerate(node.next_functions):
            if child is None:
                continue
            yield node, position, child
            if child not in seen:
                seen.add(child)
                if leaf_of(child) is None and node_number(child) not in walked:
                    stack.append(child)


def leaf_of(node: Node) -> Tensor | None:
    """The parameter that a node stands for; autocast casts one once, for all of its uses."""
    if node.name() == "ToCopyBackward0" and node.next_functions[0][0] is not None:
        node = node.next_functions[0][0]
    variable: Tensor | None = getattr(node, "variable", None)  # of AccumulateGrad alone
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


def compiled_leaves(roots: Iterable[Node]) -> Iterator[list[Tensor]]:
    """The parameters that each compiled graph right behind an output holds."""
    for node in roots:
        if node.name() == COMPILED:
            leaves = (getattr(child, "variable", None) for child, _ in node.next_functions)
            yield [leaf for leaf in leaves if leaf is not None]
