"""Opens, keeps and closes windows: what is in force from one optimizer step to the next."""

from dataclasses import replace

import numpy as np
from torch import nn

from ..distributed.ddp import SyncWatch
from ..model.recorder import Watched
from ..model.recording import Recording
from ..settings import Settings
from ..strategies.odds import Mask
from .hold import Hold
from .planner import Planner
from .target import Target
from .watch import Watch
from .window import FULL, Counters, Decision, Seen, Window


class Windows:
    """The window in force, what has happened in it, and all that decides about the next one."""

    def __init__(self, target: Target, settings: Settings, hold: Hold):
        self.target, self.settings, self.hold = target, settings, hold
        self.window, self.seen = FULL, Seen()
        self.counters = Counters(len(target.layers))
        self.planner = Planner(target, settings)
        self.recording = Recording()
        self.watch, self.syncs = Watch(target, settings), SyncWatch(target.model)

    @property
    def drops(self) -> bool:
        """Whether the epoch that is open, or its present period of steps, drops."""
        return self.counters.in_epoch and self.settings.is_drop_epoch(self._period())

    @property
    def position(self) -> float:
        """Of the drop rate on its ramp."""
        return self.settings.schedule.position(self._period())

    @property
    def saved(self) -> float | None:
        """Of the backward pass's cost, what the epoch's steps skip on average; None: not known."""
        plan = self.planner.plan
        return self.counters.saved if plan is not None and plan.knows_costs else None

    def _period(self) -> int:
        return self.settings.schedule.period(self.counters.epoch or 0, self.counters.step)

    def enter_epoch(self, epoch: int) -> None:
        """An epoch begins; a window whose gradients still wait for their step goes on."""
        # A run that is resumed inside a full epoch has looked already, as the unbroken one did, but
        # not where it was saved before the epoch's first step.
        look_again = epoch != self.counters.epoch or not self.counters.epoch_steps
        self.hold.switches.show()  # also to what was compiled since
        if not self.counters.goes_on(epoch):
            self.planner.knowledge.begin_epoch()
        self.counters.begin_epoch(epoch)
        self.watch.begin(in_epoch=True)
        # Asked again at the first forward pass: many loops zero the gradients only there.
        self.seen.carried = self._is_open()
        if not self.seen.carried:
            self.open(look_again)

    def leave_epoch(self) -> None:
        """The epoch ends; a window whose gradients still wait for their step goes on."""
        self.put_back()
        self.counters.in_epoch = False
        if self.window.mask is not None and not self._is_open():
            self.window = FULL

    def put_back(self) -> None:
        """Flags and learning rates are the user's again."""
        self.recording.end_pass()
        self.watch.end_pass()
        self.hold.put_back()

    def _is_open(self) -> bool:
        """Whether gradients wait for their step. Asks the device, so only between epochs."""
        seen = self.seen.backward or self.recording.saw_backward
        return seen and self.target.has_gradients()

    def open(self, look_again: bool = False) -> None:
        """Open the next window; record it to `look_again` where the loss may reach more by now."""
        self.window, self.seen = FULL, Seen()
        self.syncs.begin_window()
        if not self.settings.ever_drops:
            return
        self.recording.stop()
        decision = self.seen.decision = self.planner.decide(self.drops, self.position)
        learned = self.planner.knowledge.learned
        if self.drops and not decision.records:
            self.window = self._drawn(decision)
        elif decision.records or (look_again and learned and learned.order.unreached):
            self._record()
        # Outside of an epoch and in a recorded step it turns out later what rests.
        if self.counters.in_epoch and self.recording.recorder is None:
            self.hold.resting.settle(self.window)

    def _record(self) -> None:
        strategy, named = self.settings.strategy, dict(self.target.named_parameters())
        asks = strategy.needs_branches or strategy.needs_costs
        model = self.target.inner if asks else None
        self.recording.start(Watched(named, model, self.target.sharded))

    def _drawn(self, decision: Decision) -> Window:
        if not decision.can_drop or decision.heads is None:
            return FULL
        drawn = self.planner.draw(decision.heads, self.counters, self.position)
        mask, names, factor, saved = drawn
        switched = self.hold.switches.modules(names)
        return Window(mask, self._parameters(mask), switched, factor, saved)

    def _parameters(self, mask: Mask) -> tuple[nn.Parameter, ...]:
        layers = self.target.layers
        return tuple(p for i in np.flatnonzero(mask) for p in layers[i].parameters)

    def dropped_names(self) -> list[str]:
        """The layers that are dropped now."""
        mask = self.window.mask
        return [self.target.layers[i].name for i in np.flatnonzero(() if mask is None else mask)]

    def before_first_pass(self) -> None:
        """The user may have changed flags since the last step: what they are now counts."""
        if self.seen.carried:
            self.seen.carried = False
            if not self._is_open():
                self.open(look_again=True)
        if self.seen.forward or self.seen.backward:
            return
        decision = self.planner.decide(self.drops, self.position)
        if decision != self.seen.decision:
            self.open()
        if self.drops and not self.seen.decision.can_drop:
            self.watch.nothing_to_drop(self.counters.epoch)

    def foresee(self) -> None:
        """In a recorded window's first backward pass: let go of gradients of what is to rest."""
        recorder, foresees = self.recording.recorder, self.settings.strategy.foresees
        if recorder is None or not foresees or self.seen.foreseen or not self.drops:
            return
        if not self.planner.knowledge.ranks.alone:  # they must agree, and do so before the step
            return
        found = self.planner.foresee(recorder, self.counters, self.position)
        if found is not None:  # the passes are full, and save nothing
            mask, factor = found
            self.seen.foreseen = Window(mask, self._parameters(mask), lr_factor=factor)
            self.recording.let_go(self.seen.foreseen.parameters)

    def enter_foreseen(self) -> bool:
        """The passes of a recorded window are over; whether it drops from now on."""
        foreseen, self.seen.foreseen = self.seen.foreseen, None
        if foreseen is None or not self.seen.backward:
            return False
        self.window = foreseen
        return True

    def learn(self) -> None:
        """Take in what a recorded step has shown, where one was; it may raise `AttachError`."""
        recorder = self.recording.recorder
        if recorder is None or not recorder.saw_backward:
            return
        self.planner.knowledge.learn(recorder)
        self.recording.stop()
        self.install()
        foresees = self.settings.strategy.foresees and self.drops
        if foresees and self.window.mask is None and not self.seen.stepped:
            drawn = self._drawn(self.planner.decide(self.drops, self.position))
            if self.seen.foreseen is None and drawn.mask is not None:
                self.seen.foreseen = replace(drawn, switched=(), saved=0.0)

    def install(self) -> None:
        """Have switches where masks may detach, and plan by what is known."""
        learned = self.planner.knowledge.learned
        if learned is not None:
            self.hold.switches.install(learned.cut_off, learned.sources)
        self.planner.replan()

    def next(self) -> None:
        """Count a step, and draw the mask of the next one."""
        self.learn()
        plan = self.planner.plan
        saved = None if self.seen.uncut and self.window.switched else self.window.saved
        reached = 0 if plan is None else plan.reached_count
        self.counters.count(self.window.mask, reached, saved)
        self.open()

    def restart(self, counters: Counters, planner: Planner) -> None:
        """Go on where a saved state was."""
        self.counters, self.planner = counters, planner
        self.recording.stop()
        self.install()
        self.watch.begin()
        self.open()
