"""What recorded steps have told of a model, or a saved state."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

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

# So many recorded steps in a row that do not show what has been seen to train, and an epoch goes
# on without it.
_PATIENCE = 8

Held = Sequence[AbstractSet[int]]


class Knowledge:
    """Everything that masks depend on besides the seed and the step's number.

    Args:
        model: what the training loop calls.
        layers: of the model.
        strategy: says what it must know.

    Attributes:
        learned: None before the first recorded step.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer], strategy: Strategy):
        self.learned: Learned | None = None
        self._model, self._layers, self._strategy = model, tuple(layers), strategy
        self._ranks = Ranks(model)
        self._missed: set[str] = set()  # got a gradient, though no recorded step reached it
        self._futile = 0

    @property
    def is_stale(self) -> bool:
        """Whether something trains that no recorded step has reached."""
        return bool(self._missed) and self._futile < _PATIENCE

    def begin_epoch(self) -> None:
        """Have patience again."""
        self._futile = 0

    def unreached(self) -> list[tuple[str, nn.Parameter]]:
        """What no recorded step has reached, frozen or not."""
        if self.learned is None:
            return []
        return [
            (name, parameter)
            for layer in self._layers
            for name, parameter in zip(layer.parameter_names, layer.parameters, strict=True)
            if name not in self.learned.order.first
        ]

    def notice(self, unreached: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Before a step: see whether a gradient has come to what was not reached before."""
        for name, parameter in unreached:
            trains = parameter.requires_grad and parameter.grad is not None
            if trains and name not in self._missed:
                self._missed.add(name)
                self._futile = 0

    def note_sources(self, names: Iterable[str]) -> None:
        """Outputs of these modules require a gradient with no parameter before them."""
        if self.learned is not None:
            sources = dict.fromkeys([*self.learned.sources, *names])
            self.learned = replace(self.learned, sources=tuple(sources))

    def note_by_hand(self) -> None:
        """The loop takes gradients with ``torch.autograd.grad``."""
        if self.learned is not None:
            self.learned = replace(self.learned, by_hand=True)

    def learn(self, recorder: Recorder, held: Held) -> None:
        """Take in what one full step showed; nothing is changed where that raises.

        Args:
            recorder: of the step.
            held: for each optimizer, the ``id`` of each of its parameters.

        Raises:
            AttachError: the strategy cannot be followed with this model.
        """
        orders = self._ranks.gathered(recorder.finish())
        order = orders[-1]
        for other in reversed(orders[:-1]):  # with conditional layers they differ
            order = order.updated(other)
        if self.learned is not None:
            order = self.learned.order.updated(order)
        learned = self._ranks.first_of(lambda: self._compute(order, recorder, held))
        self.learned = learned
        found = self._missed & learned.order.first.keys()
        self._missed -= learned.order.first.keys()
        self._futile = 0 if found else self._futile + 1

    def _compute(self, order: Order, recorder: Recorder, held: Held) -> Learned:
        before = self.learned or Learned(order)
        learned = replace(
            before,
            order=order,
            by_hand=before.by_hand or recorder.by_hand,
            scaled=before.scaled or recorder.scaled,
        )
        if self._strategy.needs_costs:
            self._require_costs(recorder)
            early = {**(learned.early or {}), **self._early(learned, recorder, held)}
            shares = depth_shares(self._layers, order, recorder.costs, early.keys())
            learned = replace(learned, early=early, shares=shares)
        if self._strategy.needs_branches:
            branches = self._branches(learned, recorder)
            learned = replace(learned, branches=branches)
        if self.learned is None:
            Plan(self._strategy, self._layers, learned, held).check()
        return learned

    def _early(
        self, learned: Learned, recorder: Recorder, held: Held
    ) -> dict[str, tuple[str, ...]]:
        """Of what is always kept, the uses that cuts drop all the same."""
        order = learned.order
        plan = Plan(self._strategy, self._layers, learned, held)
        free = plan.facts(plan.heads()).free
        owners = {
            name: layer.owners
            for layer, may_drop in zip(self._layers, free, strict=True)
            for name in layer.parameter_names
            if not may_drop and order.first.get(name, 0) < order.last.get(name, 0)
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
            seen = {trace.names[id(e.leaf)] for e in trace.edges if id(e.leaf) in trace.names}
            found = merged(found, branches_of(trace, sizes), seen)
        plan = Plan(self._strategy, self._layers, replace(learned, branches=found), ())
        everything = all(la.trainable for la in self._layers) and not learned.order.unreached
        if everything and not plan.facts(plan.heads()).groups:
            self._refuse(found, kind)
        return found

    def _refuse(self, found: Sequence[ResidualBranch], kind: str) -> None:
        if found:
            unit = self._strategy.unit
            cause = f"every branch shares a layer (unit={unit!r}) with what lies outside of all"
            raise AttachError([explain("no branch can be dropped", cause, "use a finer unit")])
        cause = "no module's output can be detached so that gradients still flow past it"
        cure = "use Truncate() or Uniform()"
        raise AttachError([explain(f"{kind} has no residual branch", cause, cure)])

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint; what masks depend on, the same on all ranks."""
        known = self.learned
        if known is None:
            return {"order": None}
        branches = known.branches
        return {
            "order": known.order.to_state(),
            "shares": None if known.shares is None else dict(known.shares),
            "branches": None
            if branches is None
            else [[b.name, list(b.parameter_names), b.share] for b in branches],
            "early": None
            if known.early is None
            else {name: list(users) for name, users in known.early.items()},
            "sources": list(known.sources),
            "by_hand": known.by_hand,
            "scaled": known.scaled,
        }

    def from_state(self, saved: Mapping[str, Any]) -> Learned | None:
        """What `to_state` gave; None where this strategy must know more."""
        if saved["order"] is None:
            return None
        branches = saved.get("branches")
        if self._strategy.needs_costs and saved.get("shares") is None:
            return None
        if self._strategy.needs_branches and branches is None:
            return None
        return Learned(
            Order.from_state(saved["order"]),
            saved.get("shares") if self._strategy.needs_costs else None,
            tuple(ResidualBranch(name, tuple(n), share) for name, n, share in branches or ())
            if self._strategy.needs_branches
            else None,
            {name: tuple(users) for name, users in (saved.get("early") or {}).items()}
            if self._strategy.needs_costs
            else None,
            tuple(saved.get("sources") or ()),
            bool(saved.get("by_hand", False)),
            bool(saved.get("scaled", False)),
        )
