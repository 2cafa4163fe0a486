"""Everything that LayerDropBack puts on a model and its optimizers, and takes away again."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from ..interop.compiling import compile_ignores_flags
from ..settings import Settings
from .counters import Counters
from .failed_step import on_failed_step
from .flags import Flags, places
from .hiding import hide_from_copies
from .hold import Hold
from .hooks import WeakHook
from .parts import parts_of
from .passes import Passes
from .planner import Planner
from .resting import Resting
from .steps import Steps
from .switches import Switches
from .target import Target
from .window import FULL
from .windows import Windows

_Hide = Callable[[nn.Module], Callable[[], None]]


class Engine:
    """Draws a mask for each optimizer step of a drop epoch, and makes it hold.

    Closing `traces` removes every trace. It holds no reference back to the engine, so it can be
    closed when the user has let go of everything.
    """

    def __init__(self, target: Target, settings: Settings):
        self.target = target
        self.traces = contextlib.ExitStack()
        flags = Flags(places(target.inner) if compile_ignores_flags() else None)
        hide = partial(hide_from_copies, before=WeakHook(flags.lift))
        switches = Switches(target.inner, hide, self.traces)
        resting = Resting(target.optimizers, settings.strategy.resting, self.traces)
        hold = Hold(target.optimizers, flags, switches, resting)
        self.windows = Windows(target, settings, hold)
        self.traces.callback(self.windows.recording.close)
        self.traces.callback(flags.lift)
        self._passes = Passes(self.windows)
        self._steps = Steps(self.windows, self._passes)
        with contextlib.ExitStack() as half_attached:
            half_attached.callback(self.traces.close)
            self._attach(hide)
            half_attached.pop_all()
        self.windows.open()

    def _attach(self, hide: _Hide) -> None:
        traces = self.traces
        for optimizer in self.target.optimizers:
            before, after = WeakHook(self._steps.before), WeakHook(self._steps.after)
            traces.callback(optimizer.register_step_pre_hook(before).remove)
            traces.callback(optimizer.register_step_post_hook(after).remove)
            traces.callback(on_failed_step(optimizer, WeakHook(self._steps.after_failure)))
        if self.windows.settings.ever_drops:
            called = self.target.called
            self._watch_calls(called, hide)
            if called is self.target.inner:  # inside a compiled model no hook is seen
                for part in parts_of(called):
                    self._passes.parts.hook(self._watch_calls(part, hide))

    def _watch_calls(self, module: nn.Module, hide: _Hide) -> list[RemovableHandle]:
        before, after = WeakHook(self._passes.before_forward), WeakHook(self._passes.after_forward)
        first = module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
        self.traces.callback(first.remove)
        last = module.register_forward_hook(after, always_call=True)
        self.traces.callback(last.remove)
        self.traces.callback(hide(module))
        return [first, last]

    def put_back(self) -> None:
        """Flags and learning rates are the user's again."""
        self._passes.put_back()

    def redraw(self) -> None:
        """End the window, where no hook sees that every optimizer has stepped."""
        self._passes.parts.end_window()
        self.windows.next()

    def dropped_ids(self) -> frozenset[int]:
        """The ``id`` of each parameter that is dropped now."""
        return frozenset(map(id, self.windows.window.parameters))

    def chances(self) -> list[float]:
        """Each layer's chance to be dropped in a drop step; nothing before it is known."""
        plan = self.windows.planner.plan
        return [] if plan is None else plan.chances(self.windows.position)

    def to_state(self) -> dict[str, Any]:
        """Counters and knowledge in plain containers, for a checkpoint."""
        planner = self.windows.planner
        counted, seed = self.windows.counters.to_state(), {"seed": planner.masks.seed}
        return counted | seed | planner.knowledge.to_state()

    def restart(self, saved: Mapping[str, Any]) -> None:
        """Go on where a saved state was; nothing has changed where that raises."""
        planner = Planner(self.target, self.windows.settings)
        planner.knowledge.learned = planner.knowledge.from_state(saved)
        planner.masks.seed = saved["seed"]
        planner.replan()
        self.windows.restart(Counters.from_state(saved), planner)

    def stop(self) -> None:
        """Drop nothing any more."""
        self.windows.window = FULL
