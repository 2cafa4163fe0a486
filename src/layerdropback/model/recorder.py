"""One full step that is being watched: what it uses, what it reaches, what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from ..interop.private import accumulates, is_scaled_step, node_number
from ..interop.sharding import Sharded, whole_parameters
from .backward import BackwardCosts
from .call_trace import CallTrace
from .ends import Ends
from .flops import ForwardFlops
from .graph import Edge, argument_nodes, edges, leads_to, output_tensors
from .module_calls import ModuleCall
from .order import Order, ranks


@dataclass(frozen=True)
class Watched:
    """The model whose step is recorded.

    Attributes:
        parameters: by name; frozen ones are left out of a recording.
        model: whose modules are watched; None where nobody asks for them.
        sharded: the modules of it that ``fully_shard`` has sharded.
        counts: whether FLOPs are counted.
    """

    parameters: Mapping[str, nn.Parameter]
    model: nn.Module | None = None
    sharded: Sequence[Sharded] = ()
    counts: bool = False


class Recorder:
    """Watches forward and backward passes until `finish`, without changing them.

    The graph behind each forward's outputs gives every parameter's first and last use; the order in
    which gradients arrive says what the loss reached, and where a parameter belongs that the
    outputs' graph does not show (a head applied outside the model's ``forward``).

    Attributes:
        counter: to be entered around each forward pass whose cost is wanted.
        costs: of the backward passes, as far as `counter` saw the forward ones.
        by_hand: whether gradients are taken by name, with ``torch.autograd.grad``.
        scaled: whether ``GradScaler`` makes the step.
    """

    def __init__(self, watched: Watched):
        trained = {n: p for n, p in watched.parameters.items() if p.requires_grad}
        self.counter = ForwardFlops()
        self.by_hand = self.scaled = False
        self._watched = watched
        self._trained = trained
        self._names = {id(p): name for name, p in trained.items()}
        self.costs = BackwardCosts(self._names)
        self._seen = _Seen()
        self._arrived: dict[str, None] = {}
        self._handles: list[RemovableHandle] = []
        for name, parameter in trained.items():
            self._await(name, parameter)
        # A graph has the whole parameters in it, which stand for the shards.
        for name, module in watched.sharded:
            hook = partial(_meet, set(trained), self._names, self._seen.whole, name)
            self._handles.append(module.register_forward_hook(hook, prepend=True))

    def _await(self, name: str, parameter: nn.Parameter) -> None:
        note = _arrival(self._arrived, name)
        handle = parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]
        self._handles.append(handle)

    def extend(self) -> None:
        """Watch also what is trainable by now: networks that train in turn have their flags turned.

        What is frozen by now has been seen, or may yet be.
        """
        for name, parameter in self._watched.parameters.items():
            if parameter.requires_grad and name not in self._trained:
                self._trained[name] = parameter
                self._names[id(parameter)] = name
                self._await(name, parameter)

    @property
    def is_current(self) -> bool:
        """Whether it watches just what is trainable now."""
        named = self._watched.parameters.items()
        return all(p.requires_grad == (name in self._trained) for name, p in named)

    @property
    def saw_backward(self) -> bool:
        """Whether any gradient has arrived."""
        return bool(self._arrived)

    @property
    def was_called(self) -> bool:
        """Whether the model itself was called."""
        return bool(self._seen.traces)

    @property
    def returned_any(self) -> bool:
        """Whether a parameter is behind anything that the model returned."""
        return bool(self._seen.uses)

    @property
    def traces(self) -> list[CallTrace]:
        """A forward pass of the model, or of each part, whose outputs the loss reached."""
        return [trace for trace in self._seen.traces.values() if trace.reached]

    def saw_forward(
        self,
        outputs: object,
        arguments: object,
        calls: Mapping[str, list[ModuleCall]],
        asked: Sequence[int] = (),
        part: int = 0,
    ) -> CallTrace:
        """Walk the graph behind one forward pass's outputs, at once: it is not kept alive.

        Args:
            outputs: of the model.
            arguments: of the model; where they require gradients, these are the user's, but for
                what an earlier pass has made.
            calls: of its modules.
            asked: numbers of activations whose gradient the forward pass asked for.
            part: the ``id`` of what was called.

        Raises:
            AttachError: the graph hides which parameters are used where.
        """
        tensors = dict(_roots(outputs))
        roots = {node: tensor.dim() == 0 for node, tensor in tensors.items()}
        walked, given = self._seen.roots, output_tensors(arguments)
        given = [tensor for tensor in given if not leads_to(tensor.grad_fn, walked)]
        found = list(edges(roots, argument_nodes(given), walked))
        inputs = set(map(id, given))
        self.costs.add(found, self.counter.nodes, inputs)
        for name, first, last in _spans(found, self._names):
            before = self._seen.uses.get(name, (first, last))
            self._seen.uses[name] = (min(before[0], first), max(before[1], last))
        numbered = {node_number(node): single for node, single in roots.items()}
        trace = CallTrace(found, self._names, numbered, self.counter.nodes, calls)
        walked.update(numbered)
        # Not a single number: a temperature that scales the logits is no classifier.
        counts = frozenset(name for name, p in self._trained.items() if p.numel() > 1)
        ends = self._seen.ends
        # A pass towards an argument is no pass towards an output.
        wanted = any(tensor.requires_grad for tensor in given)
        ends.saw_forward(trace, counts, {} if wanted else tensors, asked)
        for node in roots:
            node.register_prehook(partial(_reach, trace.reached, ends, node_number(node)))
        earlier = self._seen.traces.get(part)
        if earlier is None or not earlier.reached:  # one that the loss reaches is enough
            self._seen.traces[part] = trace
        return trace

    def begin_backward(self) -> None:
        """A backward pass begins: see whose gradients it is for."""
        if self._watched.sharded:
            return
        adds = accumulates(self._trained.values())
        self.by_hand |= adds is None
        self._seen.ends.begin_pass(towards_parameters=adds is not False)

    def end_backward(self) -> None:
        """A backward pass has ended."""
        self._seen.ends.end_pass()

    def saw_gradients(self) -> None:
        """Before the optimizer's step: take the gradients that came without an arrival.

        FSDP2 sets ``.grad`` itself, so no hook fires; a loop may do so, too. Then what has a
        gradient was reached.
        """
        self.scaled |= is_scaled_step()
        if not self._arrived:
            for name, parameter in reversed(self._trained.items()):
                if parameter.grad is not None:
                    self._arrived[name] = None
            self.by_hand |= bool(self._arrived) and not self._watched.sharded

    def finish(self) -> Order:
        """Stop watching, and put what was seen in order."""
        self.stop()
        uses: dict[str, tuple[int, int]] = {}
        latest = -1
        for name in reversed(self._arrived):  # backward's end is forward's beginning
            uses[name] = self._seen.uses.get(name, (latest, latest))
            latest = max(latest, uses[name][0])
        ends = {end: names for end, names in self._seen.ends.found().items() if end in uses}
        return Order(
            first=ranks(sorted(uses, key=lambda name: uses[name][0])),
            last=ranks(sorted(uses, key=lambda name: uses[name][1])),
            unreached=frozenset(self._trained) - frozenset(uses),
            ends=frozenset(ends),
            behind={end: names for end, names in ends.items() if len(names) > 1},
        )

    def stop(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


class _Seen:
    """What a recorder has seen so far."""

    def __init__(self) -> None:
        self.uses: dict[str, tuple[int, int]] = {}
        self.ends = Ends()
        self.traces: dict[int, CallTrace] = {}
        self.roots: set[int] = set()
        self.whole: list[Tensor] = []  # kept: a number may be reused


def _arrival(arrived: dict[str, None], name: str) -> Any:
    def note(parameter: Tensor) -> None:
        arrived.setdefault(name)

    return note


def _roots(outputs: object) -> Iterator[tuple[Node, Tensor]]:
    for tensor in output_tensors(outputs):
        if tensor.grad_fn is not None:
            yield tensor.grad_fn, tensor


def _reach(reached: set[int], ends: Ends, number: int, gradients: Sequence[Tensor | None]) -> None:
    if any(gradient is not None for gradient in gradients):
        reached.add(number)
        ends.reach(number)


def _meet(
    trained: set[str],
    names: dict[int, str],
    kept: list[torch.Tensor],
    place: str,
    module: nn.Module,
    args: Any,
    output: Any,
) -> None:
    """Note which whole parameters a sharded module holds."""
    for name, parameter in whole_parameters(place, module):
        if name in trained and id(parameter) not in names:
            names[id(parameter)] = name
            kept.append(parameter)


def _spans(found: Sequence[Edge], names: Mapping[int, str]) -> Iterator[tuple[str, int, int]]:
    """Each parameter with the numbers of its first and last use."""
    spans: dict[str, tuple[int, int]] = {}
    for edge in found:
        name = None if edge.leaf is None else names.get(id(edge.leaf))
        if name is not None:
            first, last = spans.get(name, (edge.number, edge.number))
            spans[name] = (min(first, edge.number), max(last, edge.number))
    for name, (first, last) in spans.items():
        yield name, first, last
