"""From one optimizer step to the next: the mask in force, and the hooks that keep it."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.graph import Node
from torch.optim import Optimizer

from ..distributed.sync_watch import SyncWatch
from ..errors import AttachError, explain
from ..interop.sharding import settle_precision, sharded_modules
from ..interop.wrappers import (
    compile_ignores_flags,
    compiled_modules,
    is_compile_wrapper,
    named_module,
    unwrap,
)
from ..lab.profiling.trial import Call
from ..model.graph import compiled_leaves, compiled_too_late, graph_roots
from ..model.layers import Layer
from ..model.recording import Recording
from ..settings import Settings
from ..signals import EVERY
from ..state import digest
from ..strategies.plan import Plan
from ..strategies.sampling import EPOCHS, STEPS, Mask, draw
from .findings import Findings
from .flags import Flags, places
from .hooks import WeakHook, hide_from_copies, on_failed_step
from .learning_rate import LRScaler
from .switches import install, show_to_compiler
from .verification import Named, Verifier, check_gradients
from .window import FULL, Window

# Every run looks at so many numbers of each dropped tensor in so many first drop steps: an
# optimizer that moves them is found, at once or when it synchronises its slow weights.
_LOOK_NUMBERS, _LOOK_STEPS = 64, 16

# So many backward passes without a step of some optimizer are no accumulation any more.
_PATIENCE = 100


class Stepper:
    """Draws a mask for each optimizer step of a drop epoch, and makes it hold.

    Args:
        model: the model whose call is the forward pass.
        optimizers: a window ends when each of them has stepped.
        layers: of the model, in the order in which masks number them.
        settings: the user's.
        seed: of the masks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        layers: Sequence[Layer],
        settings: Settings,
        seed: int,
    ):
        self.seed = seed
        self.step = 0
        self.drop_steps = 0
        self.times_dropped = np.zeros(len(layers), dtype=np.int64)
        self.epoch: int | None = None
        self.drop_epoch = False
        self._in_epoch = False
        self._period = 0
        self.window = FULL
        self.findings = Findings(model, optimizers, layers, settings)
        self.plan: Plan | None = None

        self._model = model
        self._optimizers = tuple(optimizers)
        self._layers = tuple(layers)
        self._flags_are_ignored = compile_ignores_flags()
        self._flags = Flags(places(model) if self._flags_are_ignored else None)
        self._switched: dict[str, nn.Module] = {}
        self._arguments: Call | None = None
        self._backward_hook = WeakHook(self._in_backward)
        self._syncs = SyncWatch(model)
        self._sharded = sharded_modules(model)
        self._settled = not self._sharded
        self._scalers = {id(o): LRScaler(o) for o in optimizers}
        limit = None if settings.verify else _LOOK_NUMBERS
        self._verifiers = {id(o): Verifier(limit) for o in optimizers}
        self._looks = _LOOK_STEPS
        self._depth = dict.fromkeys(map(id, optimizers), 0)
        self._stepped: set[int] = set()
        self._backward_seen = False
        self._forward_seen = False
        self._carried = False
        self._backwards = 0
        self._ever_stepped: set[int] = set()
        self._decision: tuple[object, ...] = ()
        self._warned: set[str] = set()
        self.epoch_steps = 0
        self.epoch_dropped = 0.0  # sum over the epoch's steps of the share of layers dropped
        self._restarted = False

        self._unordered: list[nn.Parameter] = []
        self._held: list[set[int]] = []
        self._recording = Recording(settings.needs_costs)
        # Closing this removes every trace. It holds no reference back to the stepper, so it can
        # be closed when the user has let go of everything.
        self.traces = contextlib.ExitStack()
        self.traces.callback(self._recording.close)
        self.traces.callback(self._flags.lift)
        with contextlib.ExitStack() as half_attached:
            half_attached.callback(self.traces.close)
            self._attach()
            half_attached.pop_all()
        self._open_window()

    @property
    def settings(self) -> Settings:
        """The user's, with what was found to meet a budget."""
        return self.findings.settings

    @property
    def epoch_share(self) -> float:
        """Mean share of the reached layers dropped per step of the current or last epoch."""
        return self.epoch_dropped / max(1, self.epoch_steps)

    def facts(self) -> dict[str, Any]:
        """What masks hang on, for the ranks of one model to compare."""
        return {
            "seed": self.seed,
            "step": self.step,
            "drop_steps": self.drop_steps,
            "what was learned (a digest)": digest(self.findings.decisive()),
        }

    def dropped_ids(self) -> frozenset[int]:
        """The ``id`` of each parameter that is dropped now."""
        return frozenset(map(id, self.window.parameters))

    def chances(self) -> list[float]:
        """Each layer's chance to be dropped in a drop step; nothing before it is known."""
        if self.plan is None:
            return []
        found = self.plan.candidates(self.plan.heads(), self._position()).chances
        return [float(chance) for chance in found]

    def enter_epoch(self, epoch: int) -> None:
        """An epoch begins; a window whose gradients still wait for their step goes on."""
        if self._backwards > _PATIENCE and len(self._ever_stepped) < len(self._optimizers):
            missing = (o for o in self._optimizers if id(o) not in self._ever_stepped)
            kinds = ", ".join(type(optimizer).__name__ for optimizer in missing)
            fact = f"{self._backwards} backward passes, and no step of optimizer {kinds} was seen"
            cause = "the loop steps another optimizer than the attached one, or none"
            cure = "attach the optimizers whose step() the loop calls"
            self._warn("unstepped", explain(fact, cause, cure))
        # A run that is resumed inside a full epoch has looked already, as the unbroken one did.
        look_again = epoch != self.epoch
        self._show_switches()  # also to what was compiled since
        self.epoch, self._in_epoch = epoch, True
        if look_again or not self._restarted:  # else the epoch that was saved goes on
            self.epoch_steps, self.epoch_dropped = 0, 0.0
        self._restarted = False
        # Asked again at the first forward pass: many loops zero the gradients only there.
        self._carried = self._window_is_open()
        if not self._carried:
            self._open_window(look_again)
        self._ask_schedule()

    def leave_epoch(self) -> None:
        """The epoch ends; a window whose gradients still wait for their step goes on."""
        self.put_back()
        self._in_epoch = self.drop_epoch = False
        if self.window.mask is not None and not self._window_is_open():
            self.window = FULL

    def put_back(self) -> None:
        """Flags and learning rates are the user's again."""
        self._recording.end_pass()
        self._flags.lift()
        for scaler in self._scalers.values():
            scaler.restore()

    def _hold(self) -> None:
        self._held = [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in self._optimizers
        ]

    def replan(self) -> None:
        """Plan by what is known; also when optimizers have changed since it was recorded."""
        order = self.findings.order
        if order is None:
            self.plan = None
            return
        self._unordered = [p for name, p in self._named_parameters() if not order.knows(name)]
        self._hold()
        self.plan = self.findings.plan(self._held)
        self.plan.candidates(self.plan.heads(), 0.5)  # what is wrong with them is told at once

    def _install_switches(self) -> None:
        """Put a switch on each module that masks cut off, unless there is one."""
        inner = unwrap(self._model)
        for name in self.findings.cut_off:
            if name not in self._switched:
                module = named_module(inner, name)
                self._switched[name] = module
                self.traces.callback(install(module))
                self.traces.callback(hide_from_copies(module, WeakHook(self._flags.lift)))
        self._show_switches()

    def _show_switches(self) -> None:
        if self._switched and any(True for _ in compiled_modules(self._model)):
            show_to_compiler()

    def restart(self, saved: Mapping[str, Any]) -> None:
        """Take over the counters and the order of a saved state."""
        self.seed, self.epoch = saved["seed"], saved["epoch"]
        self.step, self.drop_steps = saved["step"], saved["drop_steps"]
        self.epoch_steps, self.epoch_dropped = saved["epoch_steps"], saved["epoch_dropped"]
        self._restarted = True
        # What was weighed at the period's start is in the state, and is not weighed again.
        self._period = self.settings.schedule.period(self.epoch or 0, self.step)
        self.times_dropped[:] = saved["times_dropped"]
        self._recording.stop()
        self.findings.restart(saved)
        self._install_switches()
        self.replan()
        self._open_window()

    def next_window(self) -> None:
        """Count a step, and draw the mask of the next one."""
        recorder = self._recording.recorder
        if recorder is not None and recorder.saw_backward:
            self._hold()
            self.findings.learn(recorder, self._held, self.seed)
            self._recording.stop()
            self._install_switches()
            self.replan()
        mask = self.window.mask
        self.epoch_steps += 1
        if mask is not None and self.plan is not None:
            self.drop_steps += 1
            self.times_dropped += mask
            self.epoch_dropped += float(mask.sum() / self.plan.reached.sum())
        self.step += 1
        self._open_window()

    def _open_window(self, look_again: bool = False) -> None:
        self.window = FULL
        self._stepped.clear()
        self._syncs.begin_window()
        self._backward_seen = self._forward_seen = self._carried = False
        self._ask_schedule()
        if not self.settings.schedule.ever_drops:
            return
        self._recording.stop()
        self._decision = self._decide()
        if self._must_record():
            self._watch()
        elif self.drop_epoch:
            self.window = self._draw()
        elif look_again and self.findings.order is not None and self.findings.order.unreached:
            self._watch()  # the loss may reach more by now

    def _watch(self) -> None:
        self._recording.start(dict(self._named_parameters()), self._sharded)

    def _ask_schedule(self) -> None:
        schedule = self.settings.schedule
        before, self._period = self._period, schedule.period(self.epoch or 0, self.step)
        if self._period != before and self.findings.weigh():
            self.replan()
        self.drop_epoch = self._in_epoch and schedule.is_drop_epoch(self._period)

    def _must_record(self) -> bool:
        """Whether the order of some layer that trains now is not known, or what else it takes."""
        if not self.findings.complete:
            return True
        return any(p.requires_grad for p in self._unordered)

    def _decide(self) -> tuple[object, ...]:
        """What a window's kind and mask hang on besides its number: the user's flags."""
        if self.plan is None or self._must_record():
            return ("record",)
        if not self.drop_epoch:
            return ()
        heads = self.plan.heads()
        return heads, self.plan.can_drop(heads, self._position())

    def _position(self) -> float:
        return self.settings.schedule.position(self._period)

    def _draw(self) -> Window:
        assert self.plan is not None
        heads = self.plan.heads()
        if not self.plan.can_drop(heads, self._position()):
            return FULL
        by_step = self.settings.resample == "step"
        stream, index = (STEPS, self.step) if by_step else (EPOCHS, self._period)
        candidates = self.plan.candidates(heads, self._position())
        strategy, masks = self.settings.strategy, self.settings.masks
        if masks is not None:  # a turn through the pool has no holes where nothing is dropped
            index = self.drop_steps if by_step else self.settings.schedule.turn(self._period)
        mask = draw(strategy, candidates.odds, self.seed, stream, index, masks)
        dropped = tuple(p for i in np.flatnonzero(mask) for p in self._layers[i].parameters)
        factor = self.settings.schedule.lr_factor(candidates.mean_rate)
        names = [n for g in self.plan.groups if mask[list(g.layers)].any() for n in g.modules]
        names += self.plan.early if mask.any() else ()
        switched = tuple(self._switched[name] for name in names)
        return Window(mask, dropped, switched, factor)

    def _window_is_open(self) -> bool:
        """Whether gradients wait for their step. Asks the device, so only between epochs."""
        seen = self._backward_seen or self._recording.saw_backward
        parameters = (p for layer in self._layers for p in layer.parameters)
        return seen and any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not torch.is_grad_enabled():
            return
        if self._carried:
            self._carried = False
            if not self._window_is_open():
                self._open_window(look_again=True)
        if not self._forward_seen and not self._backward_seen:
            # The user may have changed flags since the last step: what they are now counts.
            if self._decide() != self._decision:
                self._open_window()
            if self.drop_epoch and self._decision and self._decision[-1] is False:
                self._warn_of_nothing_to_drop()
        self._forward_seen = True
        self._arguments = None
        wanted = self.settings.needs_branches or self.settings.cuts
        if wanted and self._recording.recorder is not None:
            device = self._layers[0].parameters[0].device.type
            self._arguments = Call.under_way(args, kwargs, device)
        if not self._settled:
            self._settled = True
            settle_precision(self._sharded)
        self._flags.lower(self.window.parameters, self.window.switched)
        self._recording.begin_forward()

    def _after_forward(self, module: nn.Module, args: Any, outputs: Any) -> None:
        self._recording.end_pass()
        self._flags.lift()
        if not torch.is_grad_enabled():
            return
        self._syncs.saw_forward()
        roots = graph_roots(outputs)
        if self._flags_are_ignored:
            self._refuse_compiled(roots)
        self._recording.saw_forward(outputs, self._arguments)
        self._arguments = None
        for node in roots:
            node.register_prehook(self._backward_hook)

    def _refuse_compiled(self, roots: Sequence[Node]) -> None:
        """What `checks` finds at attach time, for a model that was compiled since."""
        for leaves in compiled_leaves(roots):
            inside = {id(leaf) for leaf in leaves}
            if sum(any(id(p) in inside for p in la.parameters) for la in self._layers) > 1:
                cause = (
                    f"torch {torch.__version__} ignores in its graphs that requires_grad changed"
                )
                raise AttachError([compiled_too_late(cause)])

    def _in_backward(self, gradients: Any) -> None:
        """A backward pass begins, which may recompute checkpointed segments of the forward."""
        self._backward_seen = True
        self._backwards += 1
        callback = self._recording.begin_backward()
        if callback is None and self.window.parameters:
            self._flags.lower(self.window.parameters, self.window.switched)
            callback = self._flags.lift
        if callback is not None:  # when this backward pass ends
            torch.autograd.Variable._execution_engine.queue_callback(callback)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        # An optimizer whose step calls its base class's step fires the hooks once for each.
        self._depth[id(optimizer)] += 1
        if self._depth[id(optimizer)] > 1:
            return
        self.put_back()
        self._syncs.require_reduced()
        if self._recording.recorder is not None:
            self._recording.recorder.saw_gradients()
            if not self._stepped:
                self.findings.look()
        for parameter in self.window.parameters:
            parameter.grad = None  # a zeroed gradient would still bring momentum and decay
        signals = self.findings.signals
        if signals is not None and not self._stepped and self.step % EVERY == 0:
            signals.look()
        if self.window.mask is None:
            return
        self._scalers[id(optimizer)].scale(self.window.lr_factor)
        if self.settings.verify or self._looks > 0:
            dropped = self._named(optimizer, self.window.mask)
            self._verifiers[id(optimizer)].before(optimizer, dropped)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._depth[id(optimizer)] -= 1
        if self._depth[id(optimizer)] > 0:
            return
        self.put_back()
        mask = self.window.mask
        if mask is not None:
            self._verifiers[id(optimizer)].after(optimizer, self.step)
            if self.settings.verify:
                check_gradients(self._named(optimizer, ~mask), self.step)
            self._warn_of_unseen_forward()
        self._stepped.add(id(optimizer))
        self._ever_stepped.add(id(optimizer))
        if len(self._stepped) == len(self._optimizers):
            self._looks -= bool(self.window.parameters)
            self.next_window()

    def _after_failure(self) -> None:
        self.put_back()
        self._depth = dict.fromkeys(self._depth, 0)

    def _warn_of_unseen_forward(self) -> None:
        if self.window.parameters and not self._forward_seen:
            kind = type(self._model).__name__
            fact = f"dropping saved nothing in drop epoch {self.epoch}: {kind} was never called"
            cause = "the loop calls a method or a part of the model, not the model itself"
            cure = "call model(...), or attach to the module you call"
            self._warn("not called", explain(fact, cause, cure))

    def _warn_of_nothing_to_drop(self) -> None:
        fact = f"no layer can be dropped in drop epoch {self.epoch}, which trains in full"
        cause = "every layer is frozen, named by keep=, or an optimizer's last one"
        cure = "unfreeze or keep less, or choose a finer unit"
        self._warn("nothing to drop", explain(fact, cause, cure))

    def _warn(self, kind: str, text: str) -> None:
        """Say it once for each kind of problem."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(text, stacklevel=5)

    def _named(self, optimizer: Optimizer, chosen: Mask) -> Iterator[Named]:
        """The trainable, reached parameters of the chosen layers that this optimizer holds."""
        held = self._held[self._optimizers.index(optimizer)]
        order = self.findings.order
        for i in np.flatnonzero(chosen):
            layer = self._layers[i]
            for name, parameter in zip(layer.parameter_names, layer.parameters, strict=True):
                if id(parameter) in held and order is not None and name in order.first:
                    yield layer.name, name, parameter

    def _attach(self) -> None:
        traces = self.traces
        for optimizer in self._optimizers:
            before, after = WeakHook(self._before_step), WeakHook(self._after_step)
            traces.callback(optimizer.register_step_pre_hook(before).remove)
            traces.callback(optimizer.register_step_post_hook(after).remove)
            traces.callback(on_failed_step(optimizer, WeakHook(self._after_failure)))
        if self.settings.schedule.ever_drops:
            for module in self._called_modules():
                before, after = WeakHook(self._before_forward), WeakHook(self._after_forward)
                handle = module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
                traces.callback(handle.remove)
                traces.callback(module.register_forward_hook(after, always_call=True).remove)
                traces.callback(hide_from_copies(module, WeakHook(self._flags.lift)))

    def _called_modules(self) -> list[nn.Module]:
        """The modules whose call is the forward pass; a compiled one must not be hooked inside."""
        if is_compile_wrapper(self._model):
            return [self._model]
        inner = unwrap(self._model)
        return [self._model] if inner is self._model else [self._model, inner]

    def _named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for layer in self._layers:
            yield from zip(layer.parameter_names, layer.parameters, strict=True)
