"""When each parameter is used: the order of the autograd graph, recorded from one full step.

Neither registration order nor module hooks can tell it: ``nn.MultiheadAttention.out_proj`` never
fires a hook, and a position embedding belongs to the root module (DESIGN, promise 8).
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True)
class Order:
    """The use of parameters in one full step, by name.

    Attributes:
        first: rank of each parameter's first use in the forward pass, 0 for the earliest.
        last: rank of its last use; differs from `first` for tied and shared parameters.
        unreached: trainable parameters that the loss did not reach.
    """

    first: Mapping[str, int]
    last: Mapping[str, int]
    unreached: frozenset[str]

    def knows(self, name: str) -> bool:
        """Whether the parameter was trainable in a recorded step."""
        return name in self.first or name in self.unreached

    def updated(self, newer: "Order") -> "Order":
        """Take the newer recording, and keep what only this one knows, before it in rank.

        What was frozen while the newer one was made is in the older one alone.
        """
        reached = {name for name in self.first if not newer.knows(name)}
        return Order(
            first=_ranks(_ranked(self.first, reached) + _ranked(newer.first, newer.first.keys())),
            last=_ranks(_ranked(self.last, reached) + _ranked(newer.last, newer.last.keys())),
            unreached=newer.unreached | {n for n in self.unreached if n not in newer.first},
        )

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        return {
            "first": dict(self.first),
            "last": dict(self.last),
            "unreached": sorted(self.unreached),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Order":
        """The inverse of `to_state`."""
        return cls(dict(state["first"]), dict(state["last"]), frozenset(state["unreached"]))


def _ranked(ranks: Mapping[str, int], names: AbstractSet[str]) -> list[str]:
    return sorted(names, key=ranks.__getitem__)


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(names)}


class Recorder:
    """Watches forward and backward passes until `finish`, without changing them.

    The graph behind each forward's outputs gives every parameter's first and last use; the order in
    which gradients arrive says what the loss reached, and where a parameter belongs that the
    outputs' graph does not show (a head applied outside the model's ``forward``, reentrant
    checkpointing).

    Args:
        parameters: the model's parameters by name; frozen ones are left out.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]):
        self._watched = {n: p for n, p in parameters.items() if p.requires_grad}
        self._names = {id(p): name for name, p in self._watched.items()}
        self._uses: dict[str, tuple[int, int]] = {}
        self._arrived: dict[str, None] = {}
        self._handles: list[RemovableHandle] = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._arrival(name)
            )
            for name, parameter in self._watched.items()
        ]

    @property
    def saw_backward(self) -> bool:
        """Whether any gradient has arrived."""
        return bool(self._arrived)

    def saw_forward(self, outputs: object) -> None:
        """Walk the graph behind one forward pass's outputs, at once: it is not kept alive."""
        for parameter, first, last in _uses(_roots(outputs)):
            name = self._names.get(id(parameter))
            if name is not None:
                before = self._uses.get(name, (first, last))
                self._uses[name] = (min(before[0], first), max(before[1], last))

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
        )

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


def _roots(outputs: object) -> Iterator[Node]:
    """The graph nodes of every tensor in a model's output, however it is nested."""
    if isinstance(outputs, torch.Tensor):
        if outputs.grad_fn is not None:
            yield outputs.grad_fn
    elif isinstance(outputs, Mapping):
        for value in outputs.values():
            yield from _roots(value)
    elif isinstance(outputs, (list, tuple)):
        for value in outputs:
            yield from _roots(value)
    elif hasattr(outputs, "__dict__"):  # dataclasses and the like
        for value in vars(outputs).values():
            yield from _roots(value)


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
        number: int = node._sequence_nr()
        for child, _ in node.next_functions:
            if child is None:
                continue
            leaf = getattr(child, "variable", None)  # only an AccumulateGrad node has one
            if leaf is not None:
                first, last = spans.get(leaf, (number, number))
                spans[leaf] = (min(first, number), max(last, number))
            elif child not in seen:
                seen.add(child)
                stack.append(child)
    for leaf, (first, last) in spans.items():
        yield leaf, first, last
