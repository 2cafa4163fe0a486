"""The last layer before each output that a loss is made of.

Where all that is before it is dropped, torch refuses the loss. The same goes for an activation
whose gradient the loop or the forward pass itself asks for (hooks, ``retain_grad``).
"""

import sys
import weakref
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from ..interop.private import is_watched, node_number, will_run
from .call_trace import CallTrace
from .graph import graph_roots

_ASKING: tuple[Any, ...] = (Tensor.register_hook, Tensor.retain_grad, torch.autograd.grad)
_LOOKING = Tensor.requires_grad.__get__  # type: ignore[attr-defined]

# Where a call passes through on its way here.
_ON_THE_WAY = frozenset({"torch.overrides", "torch._tensor", "torch.autograd"})


class AskedGradients(TorchFunctionMode):
    """Notes the activations whose gradient is asked for while it is entered, by node number."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self._looked_at: set[int] = set()  # of what the code asked whether it requires a gradient

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, and note what it asks for."""
        if func == _LOOKING and args[0].grad_fn is not None:
            self._looked_at.add(node_number(args[0].grad_fn))
        if func in _ASKING and not _is_asked_by_torch():
            asked = args[1:2] if func is torch.autograd.grad else args[:1]
            named = (kwargs or {}).get("inputs", ())
            numbers = map(node_number, graph_roots((*asked, named)))
            # Code that asks first whether it may does without, too.
            self.numbers += [number for number in numbers if number not in self._looked_at]
        return func(*args, **(kwargs or {}))


def _is_asked_by_torch() -> bool:
    """Whether the call comes from inside of torch (FSDP2), which asks first whether it may."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _ON_THE_WAY:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("torch.")


@dataclass(frozen=True)
class _Output:
    """One output of one forward pass."""

    single: bool  # whether it is a single number, a loss say
    below: frozenset[int]  # the numbers of the outputs that are on the way to it
    # The parameters that it is made with, the one that is used last first; or, where it is on the
    # way to another output, that one alone.
    behind: tuple[str, ...]


class Ends:
    """Watches which outputs the losses of a recorded step are made of."""

    def __init__(self) -> None:
        self._outputs: dict[int, _Output] = {}
        self._tensors: list[tuple[weakref.ref[Tensor], int]] = []
        self._passes: list[set[int]] = [set()]  # for each backward pass what it reached
        self._asked: dict[str, tuple[str, ...]] = {}

    def saw_forward(
        self,
        trace: CallTrace,
        counts: Set[str],
        outputs: Mapping[Node, Tensor],
        asked: Sequence[int],
    ) -> None:
        """A forward pass has ended; its outputs come by their nodes, and none is kept alive.

        `counts` has the parameters that can be a last layer, and `asked` the numbers of activations
        whose gradient the pass asked for itself.
        """
        below, tops = trace.roots_below(self._outputs), trace.tops()
        others = set(trace.names.values()) - counts
        for number, single in sorted(trace.roots.items()):
            behind = trace.names_behind(number, counts)
            names = tuple(behind if number in tops else islice(behind, 1))
            if not names and below[number]:  # no parameter of its own: what it was made of has one
                names = self._outputs[max(below[number])].behind
            if (
                number in tops or not names
            ):  # where none of them trains, one that counts not is last
                names += tuple(trace.names_behind(number, others))
            self._outputs[number] = _Output(single, below[number], names)
        for number in asked:
            self._ask(trace.last_behind(number, counts) or trace.last_behind(number, others))
        for node, tensor in outputs.items():
            self._tensors.append((weakref.ref(tensor), node_number(node)))

    def reach(self, number: int) -> None:
        """A gradient has come to an output."""
        self._passes[-1].add(number)

    def begin_pass(self, towards_parameters: bool) -> None:
        """A backward pass begins, which may be one towards activations alone."""
        there = [(tensor, number) for ref, number in self._tensors if (tensor := ref()) is not None]
        asked = [number for tensor, number in there if is_watched(tensor)]
        if not towards_parameters:  # the lowest that takes part is asked for
            running = [n for tensor, n in there if tensor.grad_fn and will_run(tensor.grad_fn)]
            asked += [min(running)] if running else []
        for number in asked:
            self._ask(next(iter(self._outputs[number].behind), None))

    def end_pass(self) -> None:
        """A backward pass has ended."""
        self._passes.append(set())

    def found(self) -> dict[str, tuple[str, ...]]:
        """The last parameter of each end, with all that the end is made with, as far as known."""
        ends = dict(self._asked)
        for reached in self._passes:
            for number in self._tops(reached):
                behind = self._outputs[number].behind
                if behind and len(behind) >= len(ends.get(behind[0], ())):
                    ends[behind[0]] = behind
        return ends

    def _ask(self, name: str | None) -> None:
        if name is not None:
            self._asked[name] = (name,)

    def _tops(self, reached: set[int]) -> list[int]:
        """Those that are on the way to no other; a single number is none if a larger one is."""
        whole = [number for number in reached if not self._outputs[number].single]
        covered = {below for number in whole for below in self._outputs[number].below}
        large = set(whole)
        tops = [number for number in whole if number not in covered]
        return tops + [n for n in reached - large if not large & self._outputs[n].below]
