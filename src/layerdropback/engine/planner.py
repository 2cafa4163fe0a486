"""From what recorded steps have told of a model to each window's mask."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from torch import nn

from ..distributed.agreement import Ranks
from ..errors import AttachError, explain
from ..interop.private import accumulates
from ..interop.wrappers import unwrap
from ..model.backward import depth_shares
from ..model.branches import ResidualBranch, branches_of, merged, module_sizes
from ..model.call_trace import early_users
from ..model.layers import Layer
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

Held = Sequence[AbstractSet[int]]  # for each optimizer, the ``id`` of each of its parameters


class Knowledge:
    """Everything that masks depend on besides the seed and the step's number."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[Layer],
        strategy: Strategy,
        adopted: Sequence[nn.Module] = (),
    ):
        self.learned: Learned | None = None  # before the first recorded step
        self._model, self._layers, self._strategy = model, tuple(layers), strategy
        self.ranks = Ranks(model, adopted)
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

    def note_by_hand(self) -> None:
        """The loop takes gradients with ``torch.autograd.grad``."""
        if self.learned is not None:
            self.learned = replace(self.learned, by_hand=True)

    def learn(self, recorder: Recorder, held: Held) -> None:
        """Take in what one full step showed, or raise `AttachError` and change nothing."""
        orders = self.ranks.gathered(recorder.finish())
        order = orders[-1]
        for other in reversed(orders[:-1]):  # with conditional layers they differ
            order = order.updated(other)
        if self.learned is not None:
            order = self.learned.order.updated(order)
        self.learned = self.ranks.first_of(lambda: self._compute(order, recorder, held))
        missed = self._missed - self.learned.order.first.keys()
        self._futile = 0 if missed != self._missed else self._futile + 1
        self._missed = missed

    def foreseen(self, recorder: Recorder, held: Held) -> Learned | None:
        """What will be learned of a recorded step, as far as its forward pass shows."""
        order = recorder.foreseen()
        if not order.first:
            return None
        if self.learned is not None:
            order = self.learned.order.updated(order)
        learned = replace(self.learned or Learned(order), order=order)
        early = self._early(learned, recorder, held)
        try:
            shares = depth_shares(self._layers, order, recorder.costs, early.keys())
        except AttachError:  # what is learned of the step will raise it, before a weight moves
            return None
        return replace(learned, early=early, shares=shares)

    def _compute(self, order: Order, recorder: Recorder, held: Held) -> Learned:
        learned = replace(self.learned or Learned(order), order=order)
        by_hand, scaled = learned.by_hand or recorder.by_hand, learned.scaled or recorder.scaled
        learned = replace(learned, by_hand=by_hand, scaled=scaled)
        if self._strategy.needs_costs:
            self._require_costs(recorder)
            early = {**(learned.early or {}), **self._early(learned, recorder, held)}
            shares = depth_shares(self._layers, order, recorder.costs, early.keys())
            learned = replace(learned, early=early, shares=shares)
        if self._strategy.needs_branches:
            learned = replace(learned, branches=self._branches(learned, recorder))
        if self.learned is None:
            Plan(self._strategy, self._layers, learned, held).check()
        return learned

    def _early(
        self, learned: Learned, recorder: Recorder, held: Held
    ) -> dict[str, tuple[str, ...]]:
        """Of what is always kept, the uses that cuts drop all the same."""
        order, plan = learned.order, Plan(self._strategy, self._layers, learned, held)
        kept = np.flatnonzero(~plan.facts(plan.heads()).free)
        owners = {
            name: self._layers[i].owners
            for i in kept
            for name in self._layers[i].parameter_names
            if order.first.get(name, 0) < order.last.get(name, 0)
        }
        found: dict[str, tuple[str, ...]] = {}
        for trace in recorder.traces if owners else ():
            found |= early_users(trace, owners)
        return found

    def _require_costs(self, recorder: Recorder) -> None:
        kind = type(self._model).__name__
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
        kind = type(self._model).__name__
        if not recorder.traces:
            fact = f"strategy='branch' cannot see how the loss comes from {kind}"
            cause = "no gradient came through what the model's call returned"
            raise AttachError([explain(fact, cause, "attach to the module that the loop calls")])
        sizes, found = module_sizes(unwrap(self._model)), learned.branches or ()
        for trace in recorder.traces:
            used = set(chain.from_iterable(trace.uses.values()))
            found = merged(found, branches_of(trace, sizes), used)
        plan = Plan(self._strategy, self._layers, replace(learned, branches=found), ())
        everything = all(la.trainable for la in self._layers) and not learned.order.unreached
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
        about = target.model, target.layers, settings.strategy, target.adopted
        self.knowledge = Knowledge(*about)
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
        needing = self._target.needing(learned.scaled)
        self.plan = Plan(self._settings.strategy, self._target.layers, learned, needing)

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
        looks = looks and learned is not None and not learned.by_hand and not self._target.sharded
        if looks and accumulates(reversed(self._reached)) is None:
            self.knowledge.note_by_hand()

    def decide(self, drops: bool, position: float) -> Decision:
        """What a window's kind and mask depend on besides its number: the user's flags."""
        if self.plan is None or self.must_record():
            return Decision(records=True)
        if not drops:
            return Decision()
        heads = self.plan.heads()
        return Decision(heads=heads, can_drop=self.plan.can_drop(heads, position))

    def draw(
        self, heads: Heads, counters: Counters, position: float
    ) -> tuple[Mask, tuple[str, ...], float, float | None]:
        """A mask, the modules to detach with it, the learning-rate factor, and what it saves."""
        assert self.plan is not None
        odds = self.plan.odds(heads, position)
        mask = self.masks.draw(odds, self._index(counters))
        factor = self._settings.lr_factor(odds.mean_rate)
        switched = self.plan.switches(heads, position, mask)
        return mask, switched, factor, self.plan.saved(heads, position, mask)

    def _index(self, counters: Counters) -> int:
        """The number that a mask depends on."""
        if self._settings.strategy.resting is not None:
            return self._settings.turn(counters.epoch or 0, counters.step)
        # A turn through a pool has no holes where nothing is dropped.
        return counters.drop_steps if self.masks.pooled else counters.step

    def foresee(
        self, recorder: Recorder, counters: Counters, position: float
    ) -> tuple[Mask, float] | None:
        """In the first backward pass of a recorded step: the mask and the factor of its window.

        Nothing is known but the graph of the forward pass. What is dropped by it needs no gradient
        in this step either, and no optimizer state. None where that graph says too little.
        """
        known = self.knowledge.learned
        scaled = known is None or known.scaled  # the first step itself will tell
        needing = self._target.needing(scaled)
        learned = self.knowledge.foreseen(recorder, needing)
        if learned is None:
            return None
        learned = replace(learned, scaled=scaled)
        plan = Plan(self._settings.strategy, self._target.layers, learned, needing)
        odds = plan.odds(plan.heads(), position)
        mask = self.masks.draw(odds, self._index(counters))
        return (mask, self._settings.lr_factor(odds.mean_rate)) if mask.any() else None
