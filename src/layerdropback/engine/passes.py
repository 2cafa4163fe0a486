"""The hooks on forward and backward passes, of the model or of parts that a loop calls.

A ``training_step`` of Lightning calls ``self.net(x)``, and the loop of a GAN the generator and the
discriminator of one module. Which way a loop does it shows in its first step.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from ..errors import AttachError, explain, name_some
from ..interop.compiling import compile_ignores_flags, is_being_exported
from ..interop.private import (
    after_backward,
    is_compiled_in_place,
    is_in_backward,
    is_transformed,
    node_number,
)
from ..interop.wrappers import settle_precision
from ..model.graph import compiled_leaves, compiled_too_late, graph_roots, leads_to, output_tensors
from ..model.recording import in_analysis
from .agreed import adopt
from .hooks import WeakHook
from .switches import through_gate
from .windows import Windows

_SEEN_THROUGH = "_layerdropback_seen_through"


def see_through(module: nn.Module, through: bool = True) -> None:
    """A call of this module is no forward pass from now on; calls inside of it are.

    For frameworks whose call of a model makes whole steps, those of its optimizers included. Inside
    of such a call the module may call itself, and that is a forward pass. With `through` false it
    is taken back, and leaves no trace.
    """
    if through:
        vars(module)[_SEEN_THROUGH] = True
    else:
        vars(module).pop(_SEEN_THROUGH, None)


def is_seen_through(module: nn.Module) -> bool:
    """Whether `see_through` was called with it."""
    return _SEEN_THROUGH in vars(module)


def parts_of(model: nn.Module) -> Iterator[nn.Module]:
    """The modules nearest below a model that can be called and hooked, each once.

    Example:
        >>> model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 2)), "head": nn.Linear(2, 2)})
        >>> [type(part).__name__ for part in parts_of(model)]
        ['Sequential', 'Linear']
    """
    for child in model.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):  # cannot be called
            yield from parts_of(child)
        elif not isinstance(child, torch.jit.ScriptModule) and not is_compiled_in_place(child):
            yield from [child] if any(True for _ in child.parameters()) else []


class Parts:
    """Which calls were forward passes of the window, and what they made."""

    def __init__(self) -> None:
        self._whole = False
        self._some = False
        self._around = 0  # running calls of modules that are seen through
        self.made: set[int] = set()  # numbers of the nodes of all outputs so far
        self._users: set[int] = set()  # of those that lead to an argument which wants a gradient
        # On parts; they go when the model itself is called and none of its parts is.
        self.hooks = ExitStack()

    def enter(self, module: nn.Module) -> bool:
        """A call begins; whether it can be a forward pass, and is not just around some."""
        if not is_seen_through(module):
            return True
        self._around += 1
        return self._around > 1

    @property
    def are_inside(self) -> bool:
        """Whether passes are made inside of a call that is seen through."""
        return self._around > 0

    def leave(self, module: nn.Module) -> None:
        """A call has ended, or was broken off."""
        if is_seen_through(module):
            self._around -= 1

    def called(self, whole: bool) -> None:
        """A forward pass begins, of the model or of a part."""
        self._whole |= whole
        self._some |= not whole

    def saw_outputs(self, roots: Iterable[Node], own: bool = True) -> None:
        """A forward pass has ended with these outputs; no argument of an `own` one was a user's."""
        numbers = set(map(node_number, roots))
        self.made |= numbers
        if not own:
            self._users |= numbers

    def is_own(self, argument: Tensor) -> bool:
        """Whether an argument comes from earlier passes of the window, and not from the user."""
        node = argument.grad_fn
        return leads_to(node, self.made) and not leads_to(node, self._users)

    def end_window(self) -> None:
        """Every optimizer has stepped."""
        if self._whole and not self._some:
            self.hooks.close()
        self._whole = self._some = False
        self.made.clear()
        self._users.clear()


# Torch's words, or the user's, for an activation that requires no gradient, or has no node.
_ABOUT_GRADIENTS = re.compile(r"grad|register_(pre)?hook", re.IGNORECASE)


def note_missing_gradient(error: BaseException, dropped: Sequence[str]) -> None:
    """Say in a note on the error that dropping may be its cause, where it speaks of gradients."""
    if not dropped or not _ABOUT_GRADIENTS.search(str(error)):
        return
    fact = f"LayerDropBack dropped {name_some(dropped)} in this step"
    cause = (
        "an activation with nothing but dropped layers before it requires no gradient, and the "
        "model asks for its gradient, in a way that was not seen in the step that was looked at"
    )
    cure = (
        "ask for it only where tensor.requires_grad is True, ask for it in every step, or keep a "
        "layer before it with keep=[...]"
    )
    error.add_note(explain(fact, cause, cure))


class Passes:
    """Holds the window's mask while passes run, of the model or of parts that the loop calls."""

    def __init__(self, windows: Windows):
        self._windows, self.parts = windows, Parts()
        hooks = WeakHook(self.in_uncut_backward), WeakHook(self.in_backward)
        self._backward_hooks = hooks  # the second where the forward pass was cut
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
        counts = torch.is_grad_enabled() and not is_being_exported() and not in_analysis()
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
        looks = windows.watch.is_on or windows.recording.recorder or windows.window.switched
        self._arguments = output_tensors((args, kwargs)) if looks else []
        windows.watch.before_forward(windows.window, windows.seen, self._arguments, module)
        windows.seen.forward = True
        if not self._settled:
            self._settled = True
            settle_precision(windows.target.sharded)
        # An argument that wants a gradient is the user's, and its gradient right.
        wanting = (tensor for tensor in self._arguments if tensor.requires_grad)
        self._cuts = all(map(self.parts.is_own, wanting))
        windows.seen.uncut |= not self._cuts
        windows.hold.begin_pass(windows.window, self._cuts)
        windows.recording.begin_forward(module)

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
        found = windows.watch.after_forward(windows.window, roots, arguments, self.parts.made)
        if found:
            windows.planner.knowledge.note_sources(found)
            windows.install()
        if not torch.is_grad_enabled():
            return None
        if not self.parts.are_inside:
            windows.syncs.saw_pass()
        if self._flags_are_ignored:
            self._refuse_compiled(roots)
        windows.recording.saw_forward(outputs, arguments, id(module))
        self.parts.saw_outputs(roots, self._cuts)
        for node in roots:
            node.register_prehook(self._backward_hooks[self._cuts])
        learned = windows.planner.knowledge.learned
        if learned is not None and learned.by_hand and windows.window.parameters:
            return through_gate(outputs, windows.window.parameters)
        return None

    def _refuse_compiled(self, roots: Sequence[Node]) -> None:
        """What `checks` finds at attach time, for a model that was compiled since."""
        cause = f"torch {torch.__version__} ignores in its graphs that requires_grad changed"
        for leaves in compiled_leaves(roots):
            if self._windows.target.count_layers(leaves) > 1:
                raise AttachError([compiled_too_late(cause)])

    def in_uncut_backward(self, gradients: Any) -> None:
        """As `in_backward`, where an argument of the forward pass wanted a gradient."""
        self.in_backward(gradients, cuts=False)

    def in_backward(self, gradients: Any, cuts: bool = True) -> None:
        """A backward pass begins, which may recompute checkpointed segments of the forward.

        Of several forward passes the last is recomputed first: each with what was cut in it.
        """
        other, self._cuts = cuts != self._cuts, cuts
        self._windows.seen.backward = True
        if self.parts.are_inside:  # DDP is around whole steps, and is made ready for each backward
            self._windows.syncs.saw_pass()
        if self._in_backward:
            if other and self._windows.recording.recorder is None:
                self._windows.hold.flags.lift()
                self._windows.hold.begin_pass(self._windows.window, cuts)
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
