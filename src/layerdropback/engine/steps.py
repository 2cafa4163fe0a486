"""The hooks on optimizers' steps, and proof that dropped layers stood still in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from ..errors import VerificationError, explain
from ..interop.private import stored_values
from ..strategies.odds import Mask
from .passes import Passes
from .windows import Windows

Named = tuple[str, str, nn.Parameter]  # the layer's name, the parameter's name, the parameter


class Verifier:
    """Compares dropped parameters and their optimizer state before and after one step.

    At most `limit` numbers of each tensor, from its start: a weight that momentum or decay moves
    changes nearly everywhere, so a few show it.
    """

    def __init__(self, limit: int | None = None):
        self._limit = limit
        self._before: list[tuple[Named, dict[str, Any]]] = []

    def before(self, optimizer: Optimizer, dropped: Iterable[Named]) -> None:
        """Remember the state before the step; costs a copy of what is compared."""
        self._before = [(entry, self._snapshot(optimizer, entry[2])) for entry in dropped]

    def after(self, optimizer: Optimizer, step: int) -> None:
        """Compare; a `VerificationError` names the first parameter that moved."""
        pairs, self._before = self._before, []
        for (layer, name, parameter), old in pairs:
            new = self._snapshot(optimizer, parameter)
            changed = [key for key in old | new if not _same(old.get(key), new.get(key))]
            if changed:
                kind, what = type(optimizer).__name__, f"{changed[0]} of its parameter {name!r}"
                fact = f"layer {layer!r} was dropped in step {step}, but {kind} changed the {what}"
                cause = f"{kind} does not skip a parameter whose gradient is None"
                use = "use an optimizer that does (all of torch.optim but LBFGS)"
                cure = f"{use}, or keep the layer with keep=[...]"
                raise VerificationError(explain(fact, cause, cure))

    def _snapshot(self, optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Any]:
        # .get: a mere look at a defaultdict would make an entry
        state: dict[str, Any] = optimizer.state.get(parameter) or {}
        entries = {"value": parameter} | {f"state {key!r}": value for key, value in state.items()}
        return {key: self._copy(value) for key, value in entries.items()}

    def _copy(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        local = value.to_local() if hasattr(value, "to_local") else value  # a shard of FSDP2
        return stored_values(local.detach()).flatten()[: self._limit].clone()


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        # NaN equals NaN here: a broken weight that stood still has not moved
        return old.shape == new.shape and bool(((old == new) | (old.isnan() & new.isnan())).all())
    return type(old) is type(new) and (old is new or bool(old == new))


def check_gradients(kept: Iterable[Named], step: int) -> None:
    """Raise a `VerificationError` where a kept parameter that the loss reaches has no gradient."""
    for layer, name, parameter in kept:
        if parameter.requires_grad and parameter.grad is None:
            what = f"layer {layer!r} was kept in step {step}"
            fact = f"{what}, but its parameter {name!r} has no gradient"
            cause = (
                "the loss did not reach it, though it did in the recorded full step: the model "
                "skips layers at random, a compiled graph is stale, or .grad was cleared"
            )
            cure = (
                "train with verify=False if the model skips layers itself; otherwise compile "
                "block by block with unit='block', and report it"
            )
            raise VerificationError(explain(fact, cause, cure))


# Every run looks at so many numbers of each dropped tensor in so many first drop steps: so an
# optimizer that moves them is found, at once or when it synchronises its slow weights.
_LOOK_NUMBERS, _LOOK_STEPS = 64, 16


class Steps:
    """Applies the window's mask and factor to each optimizer's step, and ends windows."""

    def __init__(self, windows: Windows, passes: Passes):
        self._windows, self._passes = windows, passes
        self._verify = windows.settings.verify
        limit = None if self._verify else _LOOK_NUMBERS
        self._verifiers = {id(o): Verifier(limit) for o in windows.target.optimizers}
        # An optimizer whose step calls its base class's step fires the hooks once for each.
        self._depth = dict.fromkeys(self._verifiers, 0)
        self._looks = _LOOK_STEPS

    def before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """A step begins; its arguments, where it gets a closure that makes the passes."""
        self._depth[id(optimizer)] += 1
        if self._depth[id(optimizer)] > 1:
            return None
        windows, closure = self._windows, _closure_in(args, kwargs)
        self._passes.put_back()
        if closure is not None:  # the passes may be still to come, in this window
            windows.before_first_pass()
        if closure is None or windows.seen.backward:  # else the gradients are an earlier step's
            self._look_at_gradients(complete=closure is None)
            windows.enter_foreseen()
        window = windows.window
        if closure is None or windows.recording.recorder is None:  # else it is not known yet
            windows.hold.resting.settle(window)
        windows.hold.begin_step(window, optimizer)
        looks = self._verify or self._looks > 0
        if window.mask is not None and window.parameters and looks:
            self._verifiers[id(optimizer)].before(optimizer, self._named(optimizer, window.mask))
        if closure is None:
            return None
        return _replaced(args, kwargs, partial(self._passed, closure, optimizer))

    def _look_at_gradients(self, complete: bool = True) -> None:
        """Gradients are there, and no weight has moved yet.

        They are `complete` where no pass is to come: the last one reduces those of all.
        """
        windows = self._windows
        if complete:
            windows.syncs.require_reduced()
        windows.planner.notice()
        # Torch's distributed state-dict functions step on zeros, before any pass, to make states.
        is_training = windows.counters.in_epoch or windows.seen.forward or windows.seen.backward
        if windows.recording.recorder is not None and is_training:
            windows.recording.recorder.saw_gradients()
            if len(windows.seen.stepped) == len(windows.target.optimizers) - 1:
                windows.learn()  # now, so that an error comes before a weight moves
        windows.watch.before_step()

    def _passed(self, closure: Callable[[], Any], optimizer: Optimizer) -> Any:
        """Call the closure, which makes the passes inside of the step."""
        loss, windows = closure(), self._windows
        self._look_at_gradients()
        if windows.enter_foreseen():
            windows.hold.begin_step(windows.window, optimizer)
        windows.hold.resting.settle(windows.window)
        windows.hold.clear(windows.window)
        return loss

    def after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """A step has ended."""
        self._depth[id(optimizer)] -= 1
        if self._depth[id(optimizer)] > 0:
            return
        windows = self._windows
        self._passes.put_back()
        mask = windows.window.mask
        if mask is not None:
            self._verifiers[id(optimizer)].after(optimizer, windows.counters.step)
            passed = windows.seen.backward or windows.target.has_gradients()
            if self._verify and passed:  # a framework may step where a batch was skipped
                check_gradients(self._named(optimizer, ~mask), windows.counters.step)
        windows.watch.after_step(optimizer)
        windows.seen.stepped.add(id(optimizer))
        if len(windows.seen.stepped) == len(windows.target.optimizers):
            self._looks -= bool(windows.window.parameters)
            windows.watch.end_window(windows.window, windows.seen)
            self._passes.parts.end_window()
            windows.next()

    def after_failure(self) -> None:
        """A step raised."""
        self._passes.put_back()
        self._depth = dict.fromkeys(self._depth, 0)

    def _named(self, optimizer: Optimizer, chosen: Mask) -> Iterator[Named]:
        """The trainable, reached parameters of the chosen layers that this optimizer holds."""
        target, learned = self._windows.target, self._windows.planner.knowledge.learned
        if learned is None:  # the first recorded step, where blocks take turns
            return
        held = self._windows.planner.held[target.optimizers.index(optimizer)]
        for i in np.flatnonzero(chosen):
            layer = target.layers[i]
            for name, parameter in layer.named():
                if id(parameter) in held and name in learned.order.first:
                    yield layer.name, name, parameter


def _closure_in(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Any] | None:
    """What ``optimizer.step(closure)`` was given; the first argument is the optimizer."""
    given = args[1] if len(args) > 1 else kwargs.get("closure")
    return given if callable(given) else None


def _replaced(args: Sequence[Any], kwargs: Mapping[str, Any], closure: Callable[[], Any]) -> Any:
    if len(args) > 1:
        return (args[0], closure, *args[2:]), dict(kwargs)
    return tuple(args), {**kwargs, "closure": closure}
