"""The hooks on forward and backward passes."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from ..errors import AttachError
from ..interop.compiling import compile_ignores_flags, is_being_exported
from ..interop.private import after_backward, is_in_backward, is_transformed
from ..interop.sharding import settle_precision
from ..model import analysis
from ..model.graph import compiled_leaves, compiled_too_late, graph_roots, output_tensors
from .adopting import adopt
from .failed_pass import note_missing_gradient
from .gate import through_gate
from .hooks import WeakHook
from .parts import Parts
from .windows import Windows


class Passes:
    """Holds the window's mask while the model's passes run.

    Args:
        windows: says what is in force.

    Attributes:
        parts: of the model, as far as the loop calls them by themselves.
    """

    def __init__(self, windows: Windows):
        self._windows, self.parts = windows, Parts()
        self._backward_hook = WeakHook(self.in_backward)
        self._calls: list[bool] = []  # whether each that is running counts; one may call itself
        self._cuts = True
        self._arguments: list[Tensor] = []  # of the call, before the model can change them
        self._settled = not windows.target.sharded
        self._in_backward = False
        self._handled: BaseException | None = None  # by the loop, when a forward pass begins
        self._flags_are_ignored = compile_ignores_flags()

    def put_back(self) -> None:
        """After a step, or what broke it off."""
        self._in_backward, self._arguments = False, []
        self._calls.clear()
        self._windows.put_back()

    def before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A forward pass begins."""
        counts = torch.is_grad_enabled() and not is_being_exported() and not analysis.is_running()
        counts = counts and not any(self._calls) and not is_transformed()
        counts = self.parts.enter(module) and counts and not is_in_backward()
        self._calls.append(counts)
        if not counts:
            return
        windows = self._windows
        self.parts.called(whole=module is windows.target.called)
        self._in_backward, self._handled = False, sys.exception()
        adopt(windows)
        windows.before_first_pass()
        self._arguments = output_tensors((args, kwargs)) if self._looks_at_arguments() else []
        windows.watch.before_forward(windows.window, windows.seen, self._arguments, module)
        windows.seen.forward = True
        if not self._settled:
            self._settled = True
            settle_precision(windows.target.sharded)
        self._cuts = self._may_cut()
        windows.seen.uncut |= not self._cuts
        windows.hold.begin_pass(windows.window, self._cuts)
        windows.recording.begin_forward(module)

    def _may_cut(self) -> bool:
        """Whether no argument wants a gradient; one that does is the user's, and right."""
        wanting = (tensor for tensor in self._arguments if tensor.requires_grad)
        return all(map(self.parts.is_own, wanting))

    def _looks_at_arguments(self) -> bool:
        windows = self._windows
        watched = windows.watch.is_on or windows.recording.recorder is not None
        return watched or bool(windows.window.switched)

    def after_forward(self, module: nn.Module, args: Any, outputs: Any) -> Any:
        """A forward pass has ended, or was broken off."""
        self.parts.leave(module)
        if not self._calls or not self._calls.pop():
            return None
        windows, error = self._windows, sys.exception()
        if error is not None and error is not self._handled:
            note_missing_gradient(error, windows.dropped_names())
        windows.recording.end_pass()
        windows.hold.flags.lift()
        arguments, self._arguments = self._arguments, []
        roots = graph_roots(outputs)
        walked = self.parts.made
        self._note_sources(windows.watch.after_forward(windows.window, roots, arguments, walked))
        if not torch.is_grad_enabled():
            return None
        if not self.parts.are_inside:
            windows.syncs.saw_pass()
        if self._flags_are_ignored:
            self._refuse_compiled(roots)
        windows.recording.saw_forward(outputs, arguments, id(module))
        self.parts.saw_outputs(roots)
        for node in roots:
            node.register_prehook(self._backward_hook)
        learned = windows.planner.knowledge.learned
        if learned is not None and learned.by_hand and windows.window.parameters:
            return through_gate(outputs, windows.window.parameters)
        return None

    def _note_sources(self, names: Sequence[str]) -> None:
        if names:
            self._windows.planner.knowledge.note_sources(names)
            self._windows.install()

    def _refuse_compiled(self, roots: Sequence[Node]) -> None:
        """What `checks` finds at attach time, for a model that was compiled since."""
        layers = self._windows.target.layers
        for leaves in compiled_leaves(roots):
            inside = {id(leaf) for leaf in leaves}
            if sum(any(id(p) in inside for p in layer.parameters) for layer in layers) > 1:
                cause = (
                    f"torch {torch.__version__} ignores in its graphs that requires_grad changed"
                )
                raise AttachError([compiled_too_late(cause)])

    def in_backward(self, gradients: Any) -> None:
        """A backward pass begins, which may recompute checkpointed segments of the forward."""
        self._windows.seen.backward = True
        if self.parts.are_inside:  # DDP is around whole steps, and is made ready for each backward
            self._windows.syncs.saw_pass()
        if self._in_backward:
            return
        self._windows.planner.notice_names(self._windows.watch.is_on)
        self._windows.foresee()
        callback = self._windows.recording.begin_backward()
        if callback is None and self._windows.window.parameters:
            self._windows.hold.begin_pass(self._windows.window, self._cuts)
            callback = self._windows.hold.flags.lift
        if callback is not None:
            self._in_backward = True
            after_backward(partial(self._end_backward, callback))

    def _end_backward(self, callback: Callable[[], None]) -> None:
        self._in_backward = False
        callback()
