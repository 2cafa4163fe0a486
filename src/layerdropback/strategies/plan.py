"""Which layers can drop as things stand, and which are always kept."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ..model.branches import Group, ResidualBranch, make_groups
from ..model.layers import Layer
from ..model.order import Order, by_first_use, lateness
from ..option import plain
from .base import Strategy
from .facts import Facts
from .odds import Mask, Odds

Heads = frozenset[int]
Held = Iterable[Set[int]]  # for each optimizer, the ``id`` of each of its parameters


@dataclass(frozen=True)
class Learned:
    """What recorded steps have told of a model; None is what the strategy need not know.

    Attributes:
        order: of use.
        shares: see `Facts`.
        branches: the residual ones.
        early: by tied parameter the modules that make its early uses.
        sources: modules whose outputs require a gradient with no parameter before them.
        by_hand: whether the loop takes gradients with ``torch.autograd.grad``.
        scaled: whether ``GradScaler`` makes the steps.
    """

    order: Order
    shares: Mapping[str, float] | None = None
    branches: tuple[ResidualBranch, ...] | None = None
    early: Mapping[str, tuple[str, ...]] | None = None
    sources: tuple[str, ...] = ()
    by_hand: bool = False
    scaled: bool = False

    @property
    def cut_off(self) -> tuple[str, ...]:
        """The modules whose outputs masks may detach; `sources` are detached another way."""
        branches = (branch.name for branch in self.branches or ())
        return tuple(dict.fromkeys([*branches, *self.early_users]))

    @property
    def early_users(self) -> tuple[str, ...]:
        """The modules that make the early uses of tied parameters."""
        early = (name for names in (self.early or {}).values() for name in names)
        return tuple(dict.fromkeys(early))

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        branches = None if self.branches is None else [astuple(one) for one in self.branches]
        values = {**vars(self), "order": self.order.to_state(), "branches": branches}
        return {name: plain(value) for name, value in values.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Learned":
        """The inverse of `to_state`; other keys are left alone."""
        branches, early = state.get("branches"), state.get("early")
        return cls(
            Order.from_state(state["order"]),
            state.get("shares"),
            None if branches is None else tuple(_branch(*row) for row in branches),
            None if early is None else {name: tuple(users) for name, users in early.items()},
            tuple(state.get("sources") or ()),
            bool(state.get("by_hand", False)),
            bool(state.get("scaled", False)),
        )


def _branch(name: str, parameters: Sequence[str], share: float) -> ResidualBranch:
    return ResidualBranch(name, tuple(parameters), share)


class Plan:
    """Each layer's part in the drop steps.

    What is frozen plays no part here: the user may unfreeze it at any step, and masking a frozen
    layer changes nothing. Only the heads are chosen anew for each mask.
    """

    def __init__(self, strategy: Strategy, layers: Sequence[Layer], learned: Learned, held: Held):
        order = learned.order
        names = [set(layer.parameter_names) for layer in layers]
        self.reached: Mask = np.array([not own.isdisjoint(order.first) for own in names])
        self.reached_count = int(self.reached.sum())
        self._strategy = strategy
        self._facts = _facts(strategy, layers, learned, self.reached)
        reached = np.flatnonzero(self.reached).tolist()
        ranked = sorted(reached, key=lambda i: lateness(layers[i], order), reverse=True)
        siblings = _siblings(layers)
        # For each optimizer its layers by their last use, each with what is kept with it.
        self._rankings: list[list[tuple[int, ...]]] = []
        for ids in held:
            own = {i for i in range(len(layers)) if ids & set(map(id, layers[i].parameters))}
            some = (siblings[i] for i in ranked if i in own)
            self._rankings.append([tuple(i for i in group if i in own) for group in some])
        # For each end what it is made with, by the last use: a parameter, and what is kept with it.
        self._ends: list[list[tuple[nn.Parameter, tuple[int, ...]]]] = []
        place = {name: (p, siblings[i]) for i, la in enumerate(layers) for name, p in la.named()}
        for end in order.ends & place.keys():
            behind = dict.fromkeys((end, *order.behind.get(end, ())))
            self._ends.append([place[name] for name in behind if name in place])
        if strategy.resting is not None:
            self._rankings = self._needed(learned.scaled)
        self._last: tuple[tuple[Heads, float], Facts, Odds] | None = None

    def heads(self) -> Heads:
        """The layers that are kept because they come last, as things stand.

        Each optimizer's last layer that is not frozen; of the whole model's last layer, the
        classifier, this is one. Where a model has several outputs, the last layer of each. Where
        layers take turns, the frozen ones are kept, too: they have none.
        """
        layers, turns = self._facts.layers, self._strategy.resting is not None
        frozen = frozenset(i for i, la in enumerate(layers) if not la.trainable) if turns else ()
        ends = self._ends if self._strategy.keeps_heads else self._uncovered_ends()
        found = {i for end in ends for i in end[0][1]}  # frozen ones are not cut off
        for ranking in self._rankings:
            last = (group for group in ranking if any(layers[i].trainable for i in group))
            found.update(next(last, ranking[0] if ranking else ()))
        for end in ends:  # of its layers some may hold what is no part of it
            found.update(next((group for parameter, group in end if parameter.requires_grad), ()))
        return frozenset(found.union(frozen))

    def _needed(self, scaled: bool) -> list[list[tuple[int, ...]]]:
        """The rankings by which something is kept where blocks take turns.

        ``GradScaler`` needs a gradient for each optimizer; one that holds blocks has some anyway.
        Where no end is known, the last layer of all is the head.
        """
        turns = {i for i, la in enumerate(self._facts.layers) if self._strategy.takes_turns(la)}
        without = [r for r in self._rankings if turns.isdisjoint(i for some in r for i in some)]
        needed = without if scaled else []
        known = self._ends or not self._strategy.keeps_heads
        return needed if known else [*needed, *self._rankings[:1]]

    def _uncovered_ends(self) -> list[list[tuple[nn.Parameter, tuple[int, ...]]]]:
        """The ends that some turn leaves with nothing to train, if their last layers may rest.

        Torch refuses a loss of such an output.
        """
        layers, free = self._facts.layers, np.flatnonzero(self._facts.free).tolist()
        turns = {i for i in free if layers[i].trainable and self._strategy.takes_turns(layers[i])}
        return [end for end in self._ends if not turns.issubset(i for _, some in end for i in some)]

    def facts(self, heads: Heads) -> Facts:
        """What the strategy may know, with these heads."""
        free = self._facts.free.copy()
        free[list(heads)] = False
        for group in self._facts.groups:
            trained = [i for i in group.layers if self.reached[i]]  # the others are frozen
            if not free[trained].all():
                free[list(group.layers)] = False
        return replace(self._facts, free=free)

    @property
    def knows_costs(self) -> bool:
        """Whether what a mask saves is known."""
        return self._strategy.saved(self._facts, np.zeros_like(self.reached)) is not None

    def at(self, heads: Heads, position: float) -> tuple[Facts, Odds]:
        """The facts, and what masks are drawn from; anew where heads or position are others."""
        if self._last is None or self._last[0] != (heads, position):
            facts = self.facts(heads)
            self._last = (heads, position), facts, self._strategy.odds(facts, position)
        return self._last[1:]

    def can_drop(self, heads: Heads, position: float) -> bool:
        """Whether there is a layer that trains and is not kept, if one is to drop at all.

        Where all is frozen at this moment, whatever can be unfrozen counts.
        """
        if not self._strategy.drops_layers:
            return True
        layers = self._facts.layers
        found = [layers[i] for i in np.flatnonzero(self.at(heads, position)[1].chances)]
        trains = any(layer.trainable for layer in found)
        return trains or (bool(found) and not any(layer.trainable for layer in layers))

    def describe(self) -> list[str]:
        """Each layer's part, in a word or two."""
        facts, odds = self.at(self.heads(), 0.5)
        layers, free, chances = facts.layers, facts.free.tolist(), odds.chances.tolist()
        outside = set(range(len(layers))) if self._strategy.needs_branches else set()
        outside = outside.difference(*(group.layers for group in facts.groups))
        reached, turns = self.reached.tolist(), self._strategy.resting is not None

        def part(index: int) -> str:
            if not layers[index].trainable:
                return "frozen"
            if not reached[index]:
                return "the loss does not reach it"
            if index in outside:
                return "in no branch"
            if not free[index]:
                return "always kept"
            if chances[index] == 1 and turns:
                return "always rests"
            never = self._strategy.never
            return f"{chances[index]:.3g}" if chances[index] or never is None else never

        return list(map(part, range(len(layers))))


def _facts(strategy: Strategy, layers: Sequence[Layer], learned: Learned, reached: Mask) -> Facts:
    """What is known, the heads not yet taken out of what is free."""
    order, tied = learned.order, learned.early or {}
    kept = [any(layer.matches(pattern) for pattern in strategy.keep) for layer in layers]
    free = reached & ~np.array(kept)
    groups: tuple[Group, ...] = ()
    if strategy.needs_branches:
        groups = tuple(make_groups(layers, learned.branches or (), order.first.keys()))
        free &= np.isin(np.arange(len(layers)), [i for group in groups for i in group.layers])
    ascending = tuple(i for i in by_first_use(layers, order, tied) if reached[i])
    early, sources = learned.early_users, learned.sources
    return Facts(tuple(layers), free, ascending, learned.shares, groups, early, sources)


def _siblings(layers: Sequence[Layer]) -> list[tuple[int, ...]]:
    """For each layer itself and, where layers are tensors, the other tensors of its module.

    The root's own tensors have nothing in common but their owner.
    """
    owned: dict[str, list[int]] = defaultdict(list)
    for i, layer in enumerate(layers):
        for owner in set(layer.owners) - {""}:
            owned[owner].append(i)
    return [
        tuple(sorted({i}.union(*(owned[owner] for owner in layer.owners if owner))))
        for i, layer in enumerate(layers)
    ]
