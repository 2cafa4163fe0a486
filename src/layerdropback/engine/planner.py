"""Draws each window's mask by what is known, and says when more must be learned first."""

from dataclasses import replace

from torch import nn

from ..interop.private import accumulates
from ..model.recorder import Recorder
from ..settings import Settings
from ..strategies.odds import Mask
from ..strategies.plan import Heads, Plan
from ..strategies.pool import Masks
from .counters import Counters
from .knowledge import Knowledge
from .target import Target
from .window import Decision


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
