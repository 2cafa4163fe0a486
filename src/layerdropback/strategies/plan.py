"""Which layers can drop, and which are always kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from ..allocation import Weights
from ..errors import AttachError, explain
from ..model.branches import Branch
from ..model.groups import Group, make_groups
from ..model.layers import Layer
from ..model.order import Order
from ..settings import Settings
from .ranking import by_first_use, lateness
from .sampling import Cuts, Mask, Odds, Rates
from .shares import Shares


@dataclass(frozen=True)
class Candidates:
    """What can drop.

    Attributes:
        odds: to draw a mask from; the heads' rates are 0.
        layers: those that may drop.
        chances: each layer's probability to drop, shape ``(layers,)``.
        mean_rate: the drop rate averaged over what it is a rate of; 0 where that is nothing.
    """

    odds: Odds
    layers: tuple[Layer, ...]
    chances: Rates
    mean_rate: float


@dataclass(frozen=True)
class Plan:
    """Each layer's part in the drop steps.

    What is frozen plays no part here: the user may unfreeze it at any step, and masking a frozen
    layer changes nothing. Only the heads are chosen anew for each mask.

    Attributes:
        layers: all layers of the model.
        droppable: which layers can drop, shape ``(layers,)``, heads included; not those that
            ``keep`` names, that the loss does not reach, or that lie in no branch.
        reached: which layers the loss reaches, shape ``(layers,)``.
        rankings: for each optimizer its layers by their last use, the latest first, each with what
            is kept together with it.
        ends: the layers with which a forward call ended.
        ascending: the reached layers by their first use, the earliest first.
        settings: the user's.
        shares: what cuts skip, for strategies that cut.
        groups: what drops together, for strategies that drop branches.
        weights: by which the drop rate is spread over layers; None for an even one.
        early: modules whose outputs every cut cuts off, too: early uses of what is kept.
    """

    layers: Sequence[Layer]
    droppable: Mask
    reached: Mask
    rankings: tuple[tuple[tuple[int, ...], ...], ...]
    ends: frozenset[int]
    ascending: tuple[int, ...]
    settings: Settings
    shares: Shares | None
    groups: tuple[Group, ...]
    weights: Weights | None = None
    early: tuple[str, ...] = ()
    _known: dict[tuple[frozenset[int], float], "Candidates"] = field(
        default_factory=dict, repr=False
    )

    def heads(self) -> frozenset[int]:
        """The layers that are kept because they come last, as things stand.

        Each optimizer's last layer that is not frozen; of the whole model's last layer, the
        classifier, this is one. Where the model is called for several outputs, each call's last.
        """
        found = set(self.ends)
        for ranking in self.rankings:
            last = next((group for group in ranking if self._trains(group)), ())
            found.update(last or (ranking[0] if ranking else ()))
        return frozenset(found)

    def _trains(self, group: Iterable[int]) -> bool:
        return any(self.layers[i].trainable for i in group)

    def candidates(self, heads: frozenset[int], position: float) -> "Candidates":
        """What can drop; worked out once for each set of heads and each position.

        Args:
            heads: the layers that are kept because they come last.
            position: of the drop rate on its ramp, see `Schedule.position`.

        Raises:
            AttachError: the drop rate is beyond what can be skipped.
        """
        if (heads, position) not in self._known:
            own = self._own_rates(position)
            free = self._free(heads)
            if self.weights is not None:
                own = self.spread(ramped(self.settings.schedule.drop_rate, position), free)
            rates = np.where(free, own, 0.0)
            cuts = None if self.shares is None else self._cuts(free, self.shares, position)
            leaders = np.arange(len(rates))
            for group in self.groups:
                leaders[list(group.layers)] = group.layers[0]
            chances, mean = rates, 0.0 if cuts is None else cuts.rate
            if cuts is not None:
                chances = np.zeros(len(rates))
                chances[list(cuts.layers)] = cuts.chances()
            indices = np.flatnonzero(chances).tolist()
            if cuts is None:
                mean = float(rates[indices].mean()) if indices else 0.0
            layers = tuple(self.layers[i] for i in indices)
            odds = Odds(rates, cuts, leaders)
            self._known[heads, position] = Candidates(odds, layers, chances, mean)
        return self._known[heads, position]

    def free(self) -> Mask:
        """The layers that can drop as things stand, shape ``(layers,)``."""
        return self._free(self.heads())

    def _free(self, heads: Iterable[int]) -> Mask:
        """The layers that are not kept, nor share a branch with one that is."""
        free = self.droppable & (self._own_rates(1.0) > 0)
        free[list(heads)] = False
        for group in self.groups:
            trained = [i for i in group.layers if self.reached[i]]  # the others are frozen
            if not free[trained].all():
                free[list(group.layers)] = False
        return free

    def spread(self, rate: float, free: Mask) -> Rates:
        """Each layer's rate where `rate` would be the even one, shape ``(layers,)``."""
        rates = np.where(free, rate, 0.0)
        if self.weights is None:
            return rates
        units = [group.layers for group in self.groups] or [(i,) for i in range(len(rates))]
        units = [unit for unit in units if free[unit[0]]]
        own = self.weights.rates(rate, [self.layers[unit[0]].name for unit in units])
        for unit, value in zip(units, own.tolist(), strict=True):
            rates[list(unit)] = value
        return rates

    def _own_rates(self, position: float) -> Rates:
        """Each layer's drop rate, by the last pattern that names it or its branch."""
        own = np.full(len(self.layers), self.settings.schedule.drop_rate)
        for pattern, rate in self.settings.rates:
            for i, layer in enumerate(self.layers):
                if layer.matches(pattern):
                    together = next((g.layers for g in self.groups if i in g.layers), (i,))
                    own[list(together)] = rate
        return np.array([ramped(rate, position) for rate in own])

    def _cuts(self, free: Mask, shares: Shares, position: float) -> Cuts:
        """Where backward can stop: below the first layer that is kept."""
        kept = next((i for i in self.ascending if not free[i]), None)
        below = self.ascending[: None if kept is None else self.ascending.index(kept)]
        skipped = np.array([shares[self.layers[i].name] for i in below])
        rate, reach = self.settings.schedule.drop_rate, float(skipped[-1]) if below else 0.0
        if self.settings.strategy == "adaptive":
            rate = min(rate, reach)  # what is below may come to be worth less than that
        if rate > reach:
            raise AttachError([_unreachable(rate, reach, self.layers[kept or 0].name)])
        return Cuts(below, skipped, ramped(rate, position, reach), self.settings.depth)

    def can_drop(self, heads: frozenset[int], position: float) -> bool:
        """Whether there is a layer that trains and is not kept.

        Where all is frozen at this moment, whatever can be unfrozen counts.
        """
        candidates = self.candidates(heads, position).layers
        if any(layer.trainable for layer in candidates):
            return True
        return bool(candidates) and not any(layer.trainable for layer in self.layers)

    def describe(self, index: int) -> str:
        """A layer's part, in a word or two."""
        if not self.layers[index].trainable:
            return "frozen"
        if not self.reached[index]:
            return "the loss does not reach it"
        candidates = self.candidates(self.heads(), 0.5)
        if self.groups and not any(index in group.layers for group in self.groups):
            return "in no branch"
        if candidates.odds.rates[index] == 0:
            return "always kept"
        chance = candidates.chances[index]
        return f"{chance:.3g}" if chance or self.shares is None else "above a kept layer"


def make_plan(
    layers: Sequence[Layer],
    order: Order,
    optimizer_parameters: Iterable[AbstractSet[int]],
    settings: Settings,
    shares: Shares | None = None,
    branches: Sequence[Branch] | None = None,
    weights: Weights | None = None,
    early: Mapping[str, str] | None = None,
) -> Plan:
    """Decide each layer's part from the order of use.

    Args:
        layers: all layers of the model.
        order: the recorded order.
        optimizer_parameters: for each optimizer, the ``id`` of each of its parameters.
        settings: the user's.
        shares: see `depth_shares`.
        branches: of the model, where branches are what is dropped.
        weights: to spread the drop rate by.
        early: by parameter the module that makes its uses but the last, see `early_users`.

    Raises:
        AttachError: no branch can be dropped with the layers as they are.
    """
    reached = np.array([any(n in order.first for n in la.parameter_names) for la in layers])
    named = np.array([any(layer.matches(pattern) for pattern in settings.keep) for layer in layers])
    droppable = reached & ~named
    groups = () if branches is None else tuple(make_groups(layers, branches, settings.unit))
    if branches is not None:
        in_branch = {i for group in groups for i in group.layers}
        droppable &= np.isin(np.arange(len(layers)), list(in_branch))
    ranked = sorted(
        np.flatnonzero(reached).tolist(), key=lambda i: lateness(layers[i], order), reverse=True
    )
    rankings = tuple(
        tuple(_with_siblings(i, held, layers) for i in ranked if _holds(held, layers[i]))
        for held in optimizer_parameters
    )
    ends = {
        sibling
        for i, layer in enumerate(layers)
        if order.ends & set(layer.parameter_names)
        for sibling in _siblings(i, layers)
    }
    early = early or {}
    ascending = tuple(i for i in by_first_use(layers, order, early) if reached[i])
    return Plan(
        layers,
        droppable,
        reached,
        rankings,
        frozenset(ends),
        ascending,
        settings,
        shares,
        groups,
        weights,
        tuple(dict.fromkeys(early.values())),
    )


def _unreachable(rate: float, reach: float, name: str) -> str:
    return explain(
        f"drop_rate={rate:g} cannot be reached: cuts skip at most {reach:.3g} of the backward "
        "pass's cost",
        f"layer {name!r} is always kept, and its gradient flows through all that is after it",
        f"give a drop_rate of at most {reach:.3g}, or keep only layers that are used later",
    )


def ramped(rate: float, position: float, reach: float = 1.0) -> float:
    """The drop rate at a position of its ramp: as widely around the mean as is even.

    Args:
        rate: the mean.
        position: from 0, the lowest, to 1, the highest.
        reach: no rate is above this.

    Example:
        >>> [round(ramped(0.3, position), 3) for position in (0, 0.5, 1)]
        [0.0, 0.3, 0.6]
    """
    room = min(rate, reach - rate)
    return rate + (2 * position - 1) * room


def _holds(held: AbstractSet[int], layer: Layer) -> bool:
    return any(id(parameter) in held for parameter in layer.parameters)


def _with_siblings(index: int, held: AbstractSet[int], layers: Sequence[Layer]) -> tuple[int, ...]:
    return tuple(i for i in _siblings(index, layers) if _holds(held, layers[i]))


def _siblings(index: int, layers: Sequence[Layer]) -> Iterator[int]:
    """The layer and, where layers are tensors, the other tensors of its module.

    The root's own tensors have nothing in common but their owner.
    """
    owners = set(layers[index].owners) - {""}
    for i, layer in enumerate(layers):
        if i == index or owners & set(layer.owners):
            yield i
