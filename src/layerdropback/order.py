"""When each parameter is used: the order of the autograd graph, recorded from one full step.

Neither registration order nor module hooks can tell it: ``nn.MultiheadAttention.out_proj`` never
fires a hook, and a position embedding belongs to the root module.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from .errors import AttachError, explain
from .wrappers import compile_ignores_flags

# The node that stands for a graph that torch.compile made.
COMPILED = "CompiledFunctionBackward"


@dataclass(frozen=True)
class Order:
    """The use of parameters in one full step, by name.

    Attributes:
        first: rank of each parameter's first use in the forward pass, 0 for the earliest.
        last: rank of its last use; differs from `first` for tied and shared parameters.
        unreached: trainable parameters that the loss did not reach.
        ends: the last parameter used in each forward call that the loss reached.
    """

    first: Mapping[str, int]
    last: Mapping[str, int]
    unreached: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()

    def knows(self, name: str) -> bool:
        """Whether the parameter was trainable in a recorded step."""
        return name in self.first or name in self.unreached

    def updated(self, newer: "Order") -> "Order":
        """Take the newer recording, and keep what only this one knows, before it in rank.

        What was frozen, or not reached, while the newer one was made is in the older one alone.
        """
        only = self.first.keys() - newer.first.keys()
        return Order(
            first=_ranks(_ranked(self.first, only) + _ranked(newer.first, newer.first.keys())),
            last=_ranks(_ranked(self.last, only) + _ranked(newer.last, newer.last.keys())),
            unreached=(newer.unreached | self.unreached) - only - newer.first.keys(),
            ends=newer.ends | (self.ends & only),
        )

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        return {
            "first": dict(self.first),
            "last": dict(self.last),
            "unreached": sorted(self.unreached),
            "ends": sorted(self.ends),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Order":
        """The inverse of `to_state`."""
        unreached, ends = frozenset(state["unreached"]), frozenset(state["ends"])
        return cls(dict(state["first"]), dict(state["last"]), unreached, ends)


def _ranked(ranks: Mapping[str, int], names: AbstractSet[str]) -> list[str]:
    return sorted(names, key=ranks.__getitem__)


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(names)}


def agreed(recorded: Order, model: nn.Module) -> Order:
    """The order that all replicas of a ``DistributedDataParallel`` model use from now on.

    Each recorded its own; with conditional layers they differ, and so would the masks.
    """
    if not isinstance(model, DistributedDataParallel):
        return recorded
    group = model.process_group
    orders: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(orders, recorded, group=group)
    common: Order = orders[-1]
    for order in reversed(orders[:-1]):
        common = common.updated(order)
    return common


class Recorder:
    """Watches forward and backward passes until `finish`, without changing them.

    The graph behind each forward's outputs gives every parameter's first and last use; the order in
    which gradients arrive says what the loss reached, and where a parameter belongs that the
    outputs' graph does not show (a head applied outside the model's ``forward``).

    Args:
        parameters: the model's parameters by name; frozen ones are left out.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]):
        self._all = dict(parameters)
        self._watched = {n: p for n, p in parameters.items() if p.requires_grad}
        self._names = {id(p): name for name, p in self._watched.items()}
        self._uses: dict[str, tuple[int, int]] = {}
        self._calls: list[dict[str, int]] = []  # last use of each parameter, call by call
        self._arrived: dict[str, None] = {}
        self._handles: list[RemovableHandle] = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._arrival(name)
            )
            for name, parameter in self._watched.items()
        ]

    @property
    def is_current(self) -> bool:
        """Whether it watches just what is trainable now."""
        return all(p.requires_grad == (name in self._watched) for name, p in self._all.items())

    @property
    def saw_backward(self) -> bool:
        """Whether any gradient has arrived."""
        return bool(self._arrived)

    def saw_forward(self, roots: Iterable[Node]) -> None:
        """Walk the graph behind one forward pass's outputs, at once: it is not kept alive.

        Raises:
            AttachError: the graph hides which parameters are used where.
        """
        call = {}
        for parameter, first, last in _uses(roots):
            name = self._names.get(id(parameter))
            if name is not None:
                before = self._uses.get(name, (first, last))
                self._uses[name] = (min(before[0], first), max(before[1], last))
                call[name] = last
        self._calls.append(call)

    def saw_gradients(self) -> None:
        """Before the optimizer's step: take the gradients that came without an arrival.

        FSDP2 sets ``.grad`` itself, so no hook fires; then what has a gradient was reached.
        """
        if not self._arrived:
            for name, parameter in reversed(self._watched.items()):
                if parameter.grad is not None:
                    self._arrived[name] = None

    def finish(self) -> Order:
        """Stop watching, and put what was seen in order."""
        self.stop()
        uses: dict[str, tuple[int, int]] = {}
        latest = -1
        for name in reversed(self._arrived):  # backward's end is forward's beginning
            uses[name] = self._uses.get(name, (latest, latest))
            latest = max(latest, uses[name][0])
        return Order(
            first=_ranks(sorted(uses, key=lambda name: uses[name][0])),
            last=_ranks(sorted(uses, key=lambda name: uses[name][1])),
            unreached=frozenset(self._watched) - frozenset(uses),
            ends=frozenset(self._ends(uses)),
        )

    def _ends(self, reached: Mapping[str, Any]) -> Iterator[str]:
        for call in self._calls:
            # Not a single number: a temperature that scales the logits is no classifier.
            candidates = [n for n in call if n in reached and self._watched[n].numel() > 1]
            if candidates:
                yield max(candidates, key=call.__getitem__)

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _arrival(self, name: str) -> Any:
        arrived = self._arrived  # the hook holds a dict, not the recorder or the model

        def hook(_: torch.Tensor) -> None:
            arrived.setdefault(name)

        return hook


@dataclass
class _Search:
    nodes: list[Node] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def visit(self, value: object) -> None:
        if isinstance(value, torch.Tensor):
            if value.grad_fn is not None:
                self.nodes.append(value.grad_fn)
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


def graph_roots(outputs: object) -> list[Node]:
    """The graph nodes of every tensor in a model's output, however it is nested.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> [node.name() for node in graph_roots({"logits": [weight.exp()], "names": "ab"})]
        ['ExpBackward0']
    """
    search = _Search()
    search.visit(outputs)
    return list(dict.fromkeys(search.nodes))


def _uses(roots: Iterable[Node]) -> Iterator[tuple[torch.Tensor, int, int]]:
    """Each leaf of the graph with the sequence numbers of its first and last use.

    Autograd numbers its nodes as the forward pass makes them, which orders parallel branches as
    they ran; a walk alone would not.
    """
    stack = list(roots)
    seen = set(stack)
    spans: dict[torch.Tensor, tuple[int, int]] = {}
    while stack:
        node = stack.pop()
        _refuse_opaque(node)
        number: int = node._sequence_nr()
        for child, _ in node.next_functions:
            if child is None:
                continue
            leaf = _leaf(child)
            if leaf is not None:
                first, last = spans.get(leaf, (number, number))
                spans[leaf] = (min(first, number), max(last, number))
            elif child not in seen:
                seen.add(child)
                stack.append(child)
    for leaf, (first, last) in spans.items():
        yield leaf, first, last


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
