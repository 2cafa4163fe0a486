"""When each parameter is used: the order of the autograd graph, recorded from one full step.

Neither registration order nor module hooks can tell it: ``nn.MultiheadAttention.out_proj`` never
fires a hook, and a position embedding belongs to the root module.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..interop.sharding import Sharded, whole_parameters
from ..lab.profiling.trial import Call
from .backward import BackwardCosts
from .flops import ForwardFlops
from .graph import Edge, edges, graph_roots, output_tensors


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


class Recorder:
    """Watches forward and backward passes until `finish`, without changing them.

    The graph behind each forward's outputs gives every parameter's first and last use; the order in
    which gradients arrive says what the loss reached, and where a parameter belongs that the
    outputs' graph does not show (a head applied outside the model's ``forward``).

    Args:
        parameters: the model's parameters by name; frozen ones are left out.
        sharded: the modules of it that ``fully_shard`` has sharded.

    Attributes:
        counter: to be entered around each forward pass whose cost is wanted.
        costs: of the backward passes, as far as `counter` saw the forward ones.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], sharded: Sequence[Sharded] = ()):
        self._all = dict(parameters)
        self._watched = {n: p for n, p in parameters.items() if p.requires_grad}
        self._names = {id(p): name for name, p in self._watched.items()}
        self.counter = ForwardFlops()
        self.costs = BackwardCosts(self._names)
        self._uses: dict[str, tuple[int, int]] = {}
        self._calls: list[dict[str, int]] = []  # last use of each parameter, call by call
        self._forwards: list[tuple[Call, dict[int, torch.Tensor]]] = []
        self._arrived: dict[str, None] = {}
        self._handles: list[RemovableHandle] = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._arrival(name)
            )
            for name, parameter in self._watched.items()
        ]
        # A graph has the whole parameters in it, which stand for the shards.
        self._whole: list[torch.Tensor] = []
        for name, module in sharded:
            hook = partial(_meet, set(self._watched), self._names, self._whole, name)
            self._handles.append(module.register_forward_hook(hook, prepend=True))

    @property
    def is_current(self) -> bool:
        """Whether it watches just what is trainable now."""
        return all(p.requires_grad == (name in self._watched) for name, p in self._all.items())

    @property
    def saw_backward(self) -> bool:
        """Whether any gradient has arrived."""
        return bool(self._arrived)

    def saw_forward(self, outputs: object, arguments: Call | None = None) -> None:
        """Walk the graph behind one forward pass's outputs, at once: it is not kept alive.

        Args:
            outputs: of the model.
            arguments: it was called with; kept until `finish`, where they are given.

        Raises:
            AttachError: the graph hides which parameters are used where.
        """
        call = {}
        found = list(edges(graph_roots(outputs)))
        self.costs.add(found, self.counter.nodes)
        for parameter, first, last in _spans(found):
            name = self._names.get(id(parameter))
            if name is not None:
                before = self._uses.get(name, (first, last))
                self._uses[name] = (min(before[0], first), max(before[1], last))
                call[name] = last
        self._calls.append(call)
        if arguments is not None:
            used: dict[int, torch.Tensor] = {}
            self._forwards.append((arguments, used))
            for position, tensor in enumerate(output_tensors(outputs)):
                if tensor.grad_fn is not None:
                    hook = partial(_use, used, position, tensor.output_nr)
                    tensor.grad_fn.register_prehook(hook)

    def used_call(self) -> tuple[Call, Mapping[int, torch.Tensor]] | None:
        """A call of the model with the gradients of those of its outputs that the loss reached."""
        return next(((call, used) for call, used in self._forwards if used), None)

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


def _meet(
    watched: AbstractSet[str],
    names: dict[int, str],
    kept: list[torch.Tensor],
    place: str,
    module: nn.Module,
    args: Any,
    output: Any,
) -> None:
    """Note which whole parameters a sharded module holds, and keep them: a number may be reused."""
    for name, parameter in whole_parameters(place, module):
        if name in watched and id(parameter) not in names:
            names[id(parameter)] = name
            kept.append(parameter)


def _use(
    used: dict[int, torch.Tensor],
    position: int,
    output: int,
    gradients: Sequence[torch.Tensor | None],
) -> None:
    gradient = gradients[output]
    if gradient is not None:
        used.setdefault(position, gradient.detach())


def _spans(edges: Sequence[Edge]) -> Iterator[tuple[torch.Tensor, int, int]]:
    """Each leaf of the graph with the numbers of its first and last use."""
    spans: dict[torch.Tensor, tuple[int, int]] = {}
    for edge in edges:
        if edge.leaf is not None:
            first, last = spans.get(edge.leaf, (edge.number, edge.number))
            spans[edge.leaf] = (min(first, edge.number), max(last, edge.number))
    for leaf, (first, last) in spans.items():
        yield leaf, first, last
