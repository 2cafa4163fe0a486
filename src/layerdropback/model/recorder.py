"""One full step that is being watched: what it uses, what it reaches, what it costs."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from torch import Tensor, nn

from ..interop.private import accumulates, is_scaled_step, node_number
from ..interop.wrappers import Sharded, whole_parameters
from .backward import BackwardCosts
from .call_trace import CallTrace, ModuleCall
from .ends import Ends
from .flops import ForwardFlops
from .graph import edges, leads_to, made_by, output_tensors
from .order import Order, ranks


@dataclass(frozen=True)
class Watched:
    """What is recorded: parameters by name, of which frozen ones are left out.

    The model is that whose modules are watched and whose FLOPs are counted, None where nobody asks
    for them; `sharded` are those modules that ``fully_shard`` has sharded.
    """

    parameters: Mapping[str, nn.Parameter]
    model: nn.Module | None = None
    sharded: Sequence[Sharded] = ()


class Recorder:
    """Watches forward and backward passes until `finish`, without changing them.

    The graph behind each forward's outputs gives every parameter's first and last use; the order in
    which gradients arrive says what the loss reached, and where a parameter belongs that the
    outputs' graph does not show (a head applied outside the model's ``forward``).
    """

    def __init__(self, watched: Watched):
        self.counter = ForwardFlops()  # to be entered around each forward pass that is to be costed
        self.by_hand = False  # gradients are taken by name, with ``torch.autograd.grad``
        self.scaled = False  # ``GradScaler`` makes the step
        self.watched = watched
        self._trained: dict[str, nn.Parameter] = {}
        self._names: dict[int, str] = {}
        self.costs = BackwardCosts(self._names)  # of the passes whose forward `counter` saw
        self._seen = _Seen()
        self._arrived: dict[str, None] = {}
        self._hooks = ExitStack()
        self.extend()
        # A graph has the whole parameters in it, which stand for the shards.
        for name, module in watched.sharded:
            hook = partial(_meet, set(self._trained), self._names, self._seen.whole, name)
            self._hooks.callback(module.register_forward_hook(hook, prepend=True).remove)

    def extend(self) -> None:
        """Watch also what is trainable by now: networks that train in turn have their flags turned.

        What is frozen by now has been seen, or may yet be.
        """
        for name, parameter in self.watched.parameters.items():
            if parameter.requires_grad and name not in self._trained:
                self._trained[name], self._names[id(parameter)] = parameter, name
                if parameter.numel() > 1:
                    self._seen.large.add(name)
                note = partial(_arrive, self._arrived, name)
                hook = parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]
                self._hooks.callback(hook.remove)

    @property
    def is_current(self) -> bool:
        """Whether it watches just what is trainable now."""
        named = self.watched.parameters.items()
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
        """Forward passes of the model, or of each part, whose outputs the loss reached.

        Several of a part where they use other parameters.
        """
        kept = chain.from_iterable(self._seen.traces.values())
        return [trace for trace in kept if trace.reached]

    def saw_forward(
        self,
        outputs: object,
        arguments: object,
        calls: Mapping[str, list[ModuleCall]],
        asked: Sequence[int] = (),
        part: int = 0,
    ) -> CallTrace:
        """Walk the graph behind one forward pass's outputs, at once: it is not kept alive.

        `arguments` that require gradients are the user's, but for what an earlier pass has made;
        `asked` has the numbers of activations whose gradient the forward pass asked for, and `part`
        the ``id`` of what was called. A graph that hides what is used where is an `AttachError`.
        """
        tensors, walked = made_by(outputs), self._seen.roots
        given = [t for t in output_tensors(arguments) if not leads_to(t.grad_fn, walked)]
        found = list(edges(tensors, made_by(given), walked))
        self.costs.add(found, self.counter.nodes, set(map(id, given)))
        numbered = {node_number(node): tensor.dim() == 0 for node, tensor in tensors.items()}
        trace = CallTrace(found, self._names, numbered, self.counter.nodes, calls)
        for number, names in trace.uses.items():
            for name in names:
                first, last = self._seen.uses.get(name, (number, number))
                self._seen.uses[name] = (min(first, number), max(last, number))
        walked.update(numbered)
        ends = self._seen.ends
        # A pass towards an argument is no pass towards an output.
        wanted = any(tensor.requires_grad for tensor in given)
        ends.saw_forward(trace, self._seen.large, {} if wanted else tensors, asked)
        for node in tensors:
            known = (trace.reached, self._seen.reached)
            node.register_prehook(partial(_reach, known, ends, node_number(node)))
        self._keep(trace, self._seen.traces.setdefault(part, []))
        return trace

    @staticmethod
    def _keep(trace: CallTrace, kept: list[CallTrace]) -> None:
        """One of the same parameters that the loss reaches is enough."""
        kept[:] = [one for one in kept if one.reached or not one.used <= trace.used]
        if not any(trace.used <= one.used for one in kept):
            kept.append(trace)

    def begin_backward(self) -> None:
        """A backward pass begins: see whose gradients it is for."""
        if self.watched.sharded:
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
            self.by_hand |= bool(self._arrived) and not self.watched.sharded

    def foreseen(self) -> Order:
        """The order as the graph alone shows it, before gradients say what the loss reaches."""
        return self._ordered(self._seen.uses)

    def finish(self) -> Order:
        """Stop watching, and put what was seen in order."""
        self.stop()
        for trace in chain.from_iterable(self._seen.traces.values()):
            trace.settled = True
        if self._seen.reached:
            self.costs.leave_out(self._seen.reached)
        uses: dict[str, tuple[int, int]] = {}
        latest = -1
        for name in reversed(self._arrived):  # backward's end is forward's beginning
            uses[name] = self._seen.uses.get(name, (latest, latest))
            latest = max(latest, uses[name][0])
        return self._ordered(uses, frozenset(self._trained) - frozenset(uses))

    def _ordered(
        self, uses: Mapping[str, tuple[int, int]], unreached: frozenset[str] = frozenset()
    ) -> Order:
        ends = {end: names for end, names in self._seen.ends.found().items() if end in uses}
        return Order(
            first=ranks(sorted(uses, key=lambda name: uses[name][0])),
            last=ranks(sorted(uses, key=lambda name: uses[name][1])),
            unreached=unreached,
            ends=frozenset(ends),
            behind={end: names for end, names in ends.items() if len(names) > 1},
        )

    def stop(self) -> None:
        """Stop watching."""
        self._hooks.close()


class _Seen:
    """What a recorder has seen so far; `large` has the parameters that can be a last layer."""

    def __init__(self) -> None:
        # Not a single number: a temperature that scales the logits is no classifier.
        self.large: set[str] = set()
        self.uses: dict[str, tuple[int, int]] = {}
        self.ends = Ends()
        self.traces: dict[int, list[CallTrace]] = {}
        self.roots: set[int] = set()
        self.reached: set[int] = set()  # of these, those through which gradients came
        self.whole: list[Tensor] = []  # kept: a number may be reused


def _arrive(arrived: dict[str, None], name: str, parameter: Tensor) -> None:
    arrived.setdefault(name)


def _reach(
    known: Sequence[set[int]], ends: Ends, number: int, gradients: Sequence[Tensor | None]
) -> None:
    if any(gradient is not None for gradient in gradients):
        for reached in known:
            reached.add(number)
        ends.reach(number)


def _meet(
    trained: set[str], names: dict[int, str], kept: list[Tensor], place: str, *call: Any
) -> None:
    """Note which whole parameters a sharded module holds; the hook on its call."""
    for name, parameter in whole_parameters(place, call[0]):
        if name in trained and id(parameter) not in names:
            names[id(parameter)] = name
            kept.append(parameter)
