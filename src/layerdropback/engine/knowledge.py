"""What recorded steps, or a saved state, have told of a model."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from torch import nn

from ..distributed.agreement import Ranks
from ..errors import AttachError, explain
from ..interop.wrappers import unwrap
from ..model.branches import ResidualBranch, branches_of, merged, module_sizes
from ..model.layers import Layer
from ..model.order import Order
from ..model.recorder import Recorder
from ..model.tied import early_users
from ..strategies import Strategy
from ..strategies.plan import Learned, Plan
from ..strategies.shares import depth_shares

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
