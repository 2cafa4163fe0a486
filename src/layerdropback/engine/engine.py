"""Everything that LayerDropBack puts on a model and its optimizers, and takes away again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

from torch import nn
from torch.optim import Optimizer

from ..distributed.agreement import Ranks
from ..errors import AttachError
from ..interop.compiling import compile_ignores_flags
from ..interop.wrappers import reshard, torch_optimizer
from ..model.layers import find_layers
from ..settings import Settings
from . import checks
from .agreed import facts_of_attachment, facts_of_epoch, warn_of_buckets
from .hold import Flags, Hold, places
from .hooks import WeakHook, hide_from_copies, on_failed_step
from .passes import Passes, parts_of
from .planner import Planner
from .resting import Resting
from .steps import Steps
from .switches import Switches
from .target import Target
from .window import FULL, Counters
from .windows import Windows

_Hide = Callable[[nn.Module], Callable[[], None]]


class Engine:
    """Draws a mask for each optimizer step of a drop epoch, and makes it hold.

    Closing `traces` removes every trace. It holds no reference back to the engine, so it can be
    closed when the user has let go of everything.
    """

    def __init__(self, target: Target, settings: Settings):
        self.target = target
        self.traces = ExitStack()
        flags = Flags(places(target.inner) if compile_ignores_flags() else None)
        hide = partial(hide_from_copies, before=WeakHook(flags.lift))
        switches = Switches(target.inner, hide, self.traces)
        resting = Resting(target.optimizers, settings.strategy.resting, self.traces)
        hold = Hold(target.optimizers, flags, switches, resting)
        self.windows = Windows(target, settings, hold)
        self.traces.callback(self.windows.recording.close)
        self.traces.callback(flags.lift)
        self.passes = Passes(self.windows)
        self.traces.callback(self.passes.parts.hooks.close)
        self._steps = Steps(self.windows, self.passes)
        with ExitStack() as half_attached:
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
                    self._watch_calls(part, hide, self.passes.parts.hooks)

    def _watch_calls(self, module: nn.Module, hide: _Hide, hooks: ExitStack | None = None) -> None:
        before, after = WeakHook(self.passes.before_forward), WeakHook(self.passes.after_forward)
        hooks = self.traces if hooks is None else hooks
        first = module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
        hooks.callback(first.remove)
        hooks.callback(module.register_forward_hook(after, always_call=True).remove)
        self.traces.callback(hide(module))

    def redraw(self) -> None:
        """End the window, where no hook sees that every optimizer has stepped."""
        self.passes.parts.end_window()
        self.windows.next()

    def dropped_ids(self) -> frozenset[int]:
        """The ``id`` of each parameter that is dropped now."""
        return frozenset(map(id, self.windows.window.parameters))

    def chances(self) -> list[float]:
        """Each layer's chance to be dropped in a drop step; nothing before it is known."""
        plan, position = self.windows.planner.plan, self.windows.position
        return [] if plan is None else plan.at(plan.heads(), position)[1].chances.tolist()

    def to_state(self) -> dict[str, Any]:
        """Counters and knowledge in plain containers, for a checkpoint."""
        planner = self.windows.planner
        counted, seed = self.windows.counters.to_state(), {"seed": planner.masks.seed}
        return counted | seed | planner.knowledge.to_state() | planner.knowledge.pending()

    def restart(self, saved: Mapping[str, Any]) -> None:
        """Go on where a saved state was; nothing has changed where that raises."""
        planner = Planner(self.target, self.windows.settings)
        planner.knowledge.learned = planner.knowledge.from_state(saved)
        planner.knowledge.expect(saved)
        planner.masks.seed = saved["seed"]
        planner.replan()
        self.windows.restart(Counters.from_state(saved), planner)

    def stop(self) -> None:
        """Drop nothing any more."""
        self.windows.window = FULL


_SUBJECT = "cannot attach LayerDropBack"


def attach(model: nn.Module, given: Sequence[object], settings: Settings) -> Engine:
    """Attach to a model and its optimizers, which may be wrapped.

    An `AttachError` has every problem that was found, on all ranks.
    """
    optimizers = cast(tuple[Optimizer, ...], tuple(map(torch_optimizer, given)))
    problems = [*checks.model_problems(model), *checks.optimizers_problems(optimizers)]
    if problems and not isinstance(model, nn.Module):
        raise AttachError(problems, _SUBJECT)
    ranks = Ranks(model)
    if problems:  # all ranks hear of them: they would wait for this one otherwise
        ranks.require_agreement({}, _SUBJECT, tuple(problems))
    target = Target(model, optimizers, find_layers(model, settings.strategy.unit))
    reshard(target.sharded)  # a test leaves parameters whole
    problems = checks.attach_problems(target, settings) if settings.ever_drops else []
    facts = facts_of_attachment(target, settings)
    ranks.require_agreement(facts, _SUBJECT, tuple(problems))
    warn_of_buckets(target, settings.strategy)
    return Engine(target, settings)


def follow_changes(engine: Engine, epoch: int) -> None:
    """Plan by what model and optimizers are when an epoch begins.

    An `AttachError` says how they have changed so that nobody can follow, or how ranks disagree.
    """
    target, windows = engine.target, engine.windows
    reshard(target.sharded)
    problems = checks.epoch_problems(target)
    facts = facts_of_epoch(windows) | {"epoch": epoch}
    ranks = Ranks(target.model, target.adopted)
    ranks.require_agreement(facts, "cannot begin the epoch", tuple(problems))
    windows.planner.replan()
