"""From what recorded steps have told of a model to each window's mask."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from torch import nn

from ..distributed.agreement import Ranks
from ..errors import AttachError, explain
from ..interop.private import accumulates
from ..model.backward import depth_shares
from ..model.branches import ResidualBranch, branches_of, merged, module_sizes
from ..model.call_trace import early_users
from ..model.order import Order
from ..model.recorder import Recorder
from ..settings import Settings
from ..strategies import Strategy
from ..strategies.odds import Mask, Masks
from ..strategies.plan import Heads, Learned, Plan
from .target import Target
from .window import Counters, Decision

# After so many recorded steps in a row that do not show what has been seen to train, an epoch goes
# on without it.
_PATIENCE = 8


class Knowledge:
    """Everything that masks depend on besides the seed and the step's number."""

    def __init__(self, target: Target, strategy: Strategy):
        self.learned: Learned | None = None  # before the first recorded step
        self.ranks = Ranks(target.model, target.adopted)
        self._target, self._strategy = target, strategy
        self._missed: set[str] = set()  # got a gradient, though no recorded step reached it
        self._futile = 0

    @property
    def is_stale(self) -> bool:
        """Whether something trains that no recorded step has reached."""
        return bool(self._missed) and self._futile < _PATIENCE

    def begin_epoch(self) -> None:
        """Have patience again."""
        self._futile = 0

    def notice(self, unreached: Mapping[str, nn.Parameter]) -> None:
        """Before a step: see whether a gradient has come to what was not reached before."""
        for name, parameter in unreached.items():
            trains = parameter.requires_grad and parameter.grad is not None
            if trains and name not in self._missed:
                self._missed.add(name)
                self._futile = 0

    def note_sources(self, names: Iterable[str]) -> None:
        """Outputs of these modules require a gradient with no parameter before them."""
        if self.learned is not None:
            sources = tuple(dict.fromkeys([*self.learned.sources, *names]))
            self.learned = replace(self.learned, sources=sources)

    def plan(self, learned: Learned) -> Plan:
        """What follows for each layer."""
        held = self._target.needing(learned.scaled)
        return Plan(self._strategy, self._target.layers, learned, held)

    def learn(self, recorder: Recorder) -> None:
        """Take in what one full step showed, or raise `AttachError` and change nothing."""
        # With conditional layers the ranks' orders differ.
        order = reduce(Order.updated, reversed(self.ranks.gathered(recorder.finish())))
        if self.learned is not None:
            order = self.learned.order.updated(order)
        self.learned = self.ranks.first_of(lambda: self._compute(order, recorder))
        missed = self._missed - self.learned.order.first.keys()
        self._futile = 0 if missed != self._missed else self._futile + 1
        self._missed = missed

    def foreseen(self, recorder: Recorder) -> Learned | None:
        """What will be learned of a recorded step, as far as its forward pass shows."""
        order, known = recorder.foreseen(), self.learned
        if not order.first:
            return None
        if known is None:  # whether the step is scaled shows in the step itself
            learned = Learned(order, scaled=True)
        else:
            learned = replace(known, order=known.order.updated(order))
        try:
            return self._weighed(learned, recorder)
        except AttachError:  # what is learned of the step will raise it, before a weight moves
            return None

    def _compute(self, order: Order, recorder: Recorder) -> Learned:
        known = self.learned or Learned(order)
        by_hand, scaled = known.by_hand or recorder.by_hand, known.scaled or recorder.scaled
        learned = replace(known, order=order, by_hand=by_hand, scaled=scaled)
        if self._strategy.needs_costs:
            try:
                self._require_costs(recorder)
                learned = self._weighed(learned, recorder)
            except AttachError:
                if self.learned is None:
                    raise
                return self.learned  # a later step may show less: nothing but a bias trains, say
        if self._strategy.needs_branches:
            learned = replace(learned, branches=self._branches(learned, recorder))
        if self.learned is None:
            plan = self.plan(learned)
            self._strategy.check(plan.facts(plan.heads()))
        return learned

    def _weighed(self, learned: Learned, recorder: Recorder) -> Learned:
        """With what cuts save, and the uses that they drop of what is always kept."""
        layers, order, plan = self._target.layers, learned.order, self.plan(learned)
        # What is used once gets its gradient there: its module's output is no early use's alone.
        once = (name for name, first in order.first.items() if order.last[name] <= first)
        busy = {name.rpartition(".")[0] for name in once}
        owners = {
            name: [owner for owner in layers[i].owners if owner not in busy]
            for i in np.flatnonzero(~plan.facts(plan.heads()).free)
            for name in layers[i].parameter_names
            if order.first.get(name, 0) < order.last.get(name, 0)
        }
        early = dict(learned.early or {})
        for trace in recorder.traces if owners else ():
            early |= early_users(trace, owners)
        shares = depth_shares(layers, order, recorder.costs, early.keys())
        return replace(learned, early=early, shares=shares)

    def _require_costs(self, recorder: Recorder) -> None:
        kind = type(self._target.model).__name__
        if not recorder.was_called:
            cause = (
                f"{kind} itself was not called in the step that was looked at (the loop calls a "
                "method or a part of it, or calls it through torch.func)"
            )
        elif not recorder.returned_any:
            cause = f"what {kind}'s call returned is made of no parameter"
        else:
            return
        cure = "attach to the module that the loop calls, and that returns what the loss is made of"
        fact = "cuts cannot be weighed in this model"
        raise AttachError([explain(fact, cause, f"{cure}, or use Uniform()")])

    def _branches(self, learned: Learned, recorder: Recorder) -> tuple[ResidualBranch, ...]:
        kind = type(self._target.model).__name__
        if not recorder.traces:
            fact = f"strategy='branch' cannot see how the loss comes from {kind}"
            cause = "no gradient came through what the model's call returned"
            raise AttachError([explain(fact, cause, "attach to the module that the loop calls")])
        sizes, found = module_sizes(self._target.inner), learned.branches or ()
        for trace in recorder.traces:
            found = merged(found, branches_of(trace, sizes), trace.used)
        plan = self.plan(replace(learned, branches=found))
        layers = self._target.layers
        everything = all(la.trainable for la in layers) and not learned.order.unreached
        if plan.facts(plan.heads()).groups or not everything:
            return found
        if found:
            unit, fact, cure = self._strategy.unit, "no branch can be dropped", "use a finer unit"
            cause = f"every branch shares a layer (unit={unit!r}) with what lies outside of all"
        else:
            fact, cure = f"{kind} has no residual branch", "use Truncate() or Uniform()"
            cause = "no module's output can be detached so that gradients still flow past it"
        raise AttachError([explain(fact, cause, cure)])

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint; what masks depend on, the same on all ranks."""
        return {"order": None} if self.learned is None else self.learned.to_state()

    def pending(self) -> dict[str, Any]:
        """What is still to be learned, by which steps are recorded; for a checkpoint."""
        return {"missed": sorted(self._missed), "futile": self._futile}

    def expect(self, saved: Mapping[str, Any]) -> None:
        """The inverse of `pending`; a state of before has nothing of it."""
        self._missed, self._futile = set(saved.get("missed") or ()), saved.get("futile") or 0

    def from_state(self, saved: Mapping[str, Any]) -> Learned | None:
        """What this strategy needs of a saved state; None where it must know more."""
        if saved["order"] is None:
            return None
        learned, strategy = Learned.from_state(saved), self._strategy
        if not strategy.needs_costs:
            learned = replace(learned, shares=None, early=None)
        elif learned.shares is None:
            return None
        if not strategy.needs_branches:
            return replace(learned, branches=None)
        return None if learned.branches is None else learned


class Planner:
    """From knowledge to masks."""

    def __init__(self, target: Target, settings: Settings):
        self.knowledge = Knowledge(target, settings.strategy)
        self.plan: Plan | None = None  # before the first recorded step
        self.masks = Masks(int(settings.seed), getattr(settings.strategy, "pool", None))
        self.held: list[set[int]] = []  # for each optimizer the ``id`` of each of its parameters
        self._target, self._settings = target, settings
        self._unordered: list[nn.Parameter] = []
        self._reached: list[nn.Parameter] = []  # by their last use
        self._unreached: dict[str, nn.Parameter] = {}

    def replan(self) -> None:
        """Plan by what is known; also when optimizers have changed since it was recorded."""
        learned = self.knowledge.learned
        if learned is None:
            self.plan = None
            return
        by_name = dict(self._target.named_parameters())
        order, self.held = learned.order, self._target.held()
        steps: set[int] = set().union(*self.held)
        self._reached = [by_name[name] for name in order.last if name in by_name]
        self._unordered = [p for name, p in by_name.items() if not order.knows(name)]
        self._unreached = {
            name: p for name, p in by_name.items() if name not in order.first and id(p) in steps
        }
        self.plan = self.knowledge.plan(learned)

    def must_record(self) -> bool:
        """Whether something trains whose place in the order is not known."""
        unordered = any(p.requires_grad for p in self._unordered)
        return unordered or self.plan is None or self.knowledge.is_stale

    def notice(self) -> None:
        """Before a step: see whether a gradient has come to what was not reached before."""
        self.knowledge.notice(self._unreached)

    def notice_names(self, looks: bool) -> None:
        """In a backward pass: see whether the loop takes gradients by name."""
        learned = self.knowledge.learned
        if not looks or learned is None or learned.by_hand or self._target.sharded:
            return
        if accumulates(reversed(self._reached)) is None:
            self.knowledge.learned = replace(learned, by_hand=True)

    def decide(self, drops: bool, position: float) -> Decision:
        """What a window's kind and mask depend on besides its number: the user's flags."""
        if self.plan is None or self.must_record():
            return Decision(records=True)
        if not drops:
            return Decision()
        heads = self.plan.heads()
        return Decision(heads=heads, can_drop=self.plan.can_drop(heads, position))

    def draw(
        self, heads: Heads, counters: Counters, position: float, plan: Plan | None = None
    ) -> tuple[Mask, tuple[str, ...], float, float | None]:
        """A mask, the modules to detach with it, the learning-rate factor, and what it saves."""
        plan, strategy = plan or self.plan, self._settings.strategy
        assert plan is not None
        facts, odds = plan.at(heads, position)
        mask = self.masks.draw(odds, self._index(counters))
        switched, saved = strategy.switches(facts, mask), strategy.saved(facts, mask)
        return mask, switched, self._settings.lr_factor(odds.mean_rate), saved

    def _index(self, counters: Counters) -> int:
        """The number that a mask depends on."""
        if self._settings.strategy.resting is not None:
            schedule = self._settings.schedule
            return schedule.turn(schedule.period(counters.epoch or 0, counters.step))
        # A turn through a pool has no holes where nothing is dropped.
        return counters.drop_steps if self.masks.pooled else counters.step

    def foresee(
        self, recorder: Recorder, counters: Counters, position: float
    ) -> tuple[Mask, float] | None:
        """In the first backward pass of a recorded step: the mask and the factor of its window.

        Nothing is known but the graph of the forward pass. What is dropped by it needs no gradient
        in this step either, and no optimizer state. None where that graph says too little.
        """
        learned = self.knowledge.foreseen(recorder)
        if learned is None:
            return None
        plan = self.knowledge.plan(learned)
        mask, _, factor, _ = self.draw(plan.heads(), counters, position, plan)
        return (mask, factor) if mask.any() else None
