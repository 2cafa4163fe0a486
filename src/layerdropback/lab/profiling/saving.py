"""What a way of dropping saves of a step: from FLOPs, predicted, and measured."""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...controller import LayerDropBack
from ...schedule import Schedule
from ...strategies.base import Strategy
from ..held import SavedBytes
from .bench import Bench, Phases
from .cost import StepCost, step_costs
from .trying import label

# So many masks are drawn, spread evenly over what can be drawn, and used in turns: what they save
# is so different (of cuts above all) that only the mean over the same ones can be compared.
MASKS = 5

_FULL = b""  # in place of a full step's mask

# Pairs of steps in which memory is counted, and all that come before those that are timed: so long
# LayerDropBack looks whether it works, in its first 16 drop steps.
MEMORY_PAIRS = MASKS
UNTIMED_PAIRS = 4 * MASKS


@dataclass(frozen=True)
class OfMask:
    """What one mask saves, as shares of a full step's.

    Attributes:
        dropped: layers.
        layers: that the model has.
        measured: of the time, the median over pairs.
        memory: of the bytes that the forward pass keeps for the backward pass.
        n: pairs.
    """

    dropped: int
    layers: int
    measured: float
    memory: float
    n: int


@dataclass(frozen=True)
class Saving:
    """What one way to drop saves of a drop step; every number is a share of a full step's.

    Attributes:
        strategy: of which.
        ideal: of the FLOPs.
        predicted: of the time, by the times of the phases and the FLOPs of each.
        measured: of the time: for each mask the median over pairs of steps that took turns, and
            the mean over the masks.
        low: the lower quartile over all pairs.
        high: the upper quartile.
        memory: of the bytes that the forward pass keeps for the backward pass.
        n: pairs.
        masks: the same of each mask by itself, those that drop the least first: by depth, for cuts.
    """

    strategy: Strategy
    ideal: float
    predicted: float
    measured: float
    low: float
    high: float
    memory: float
    n: int
    masks: tuple["OfMask", ...] = ()

    @property
    def label(self) -> str:
        """For tables."""
        return label(self.strategy)

    @property
    def error(self) -> float:
        """How far the predicted time of a drop step is from the measured one, as a share of it.

        Example:
            >>> from layerdropback import Uniform
            >>> round(Saving(Uniform(), 0.2, 0.19, 0.10, 0.0, 0.2, 0.0, 9).error, 9)
            -0.1
        """
        return (1 - self.predicted) / (1 - self.measured) - 1

    @property
    def of_run(self) -> float:
        """Of the time of a run in which every second epoch drops, as measured."""
        return self.measured / 2


def saving_of(
    strategy: Strategy, bench: Bench, phases: Phases, pairs: int = 15, seed: int = 0
) -> Saving:
    """Predict and measure what a strategy saves.

    Args:
        strategy: the way to drop; it draws from a pool of `MASKS` masks.
        bench: whose steps.
        phases: of the same bench.
        pairs: of a full and a drop step, at least; each mask gets as many.
        seed: of the masks.

    Raises:
        AttachError: this model cannot be trained so; see `LayerDropBack`.
    """
    drawn = replace(strategy, pool=MASKS)  # type: ignore[call-arg]
    full, drop = step_costs(
        bench.model, bench.batch, bench.loss, strategy=drawn, seed=seed, draws=MASKS
    )
    ratios, saved = _measure(bench, drawn, seed, math.ceil(pairs / MASKS))
    low, _, high = statistics.quantiles(itertools.chain.from_iterable(ratios.values()), n=4)
    masks = [_of_mask(mask, found, saved) for mask, found in ratios.items()]
    counts = [mask.n for mask in masks]
    return Saving(
        strategy,
        ideal=1 - drop.total / full.total,
        predicted=predict(phases, full, drop),
        measured=statistics.fmean((mask.measured for mask in masks), weights=counts),
        low=1 - high,
        high=1 - low,
        memory=statistics.fmean((mask.memory for mask in masks), weights=counts),
        n=sum(counts),
        masks=tuple(sorted(masks, key=lambda mask: (mask.dropped, mask.measured))),
    )


def _of_mask(mask: bytes, ratios: Sequence[float], saved: Mapping[bytes, Sequence[int]]) -> OfMask:
    full, drop = (statistics.fmean(saved[key]) for key in (_FULL, mask))
    return OfMask(
        dropped=sum(mask),
        layers=len(mask),
        measured=1 - statistics.median(ratios),
        memory=1 - drop / full if full else 0.0,
        n=len(ratios),
    )


def predict(phases: Phases, full: StepCost, drop: StepCost) -> float:
    """Share of a step's time that a drop step saves.

    What the gradients of weights take, and those of activations, shrinks with the FLOPs of each;
    the optimizer's step with the parameters that it moves. The forward pass stays.

    Example:
        >>> phases = Phases(forward=1.0, activations=1.0, weights=1.0, optimizer=0.0, n=1)
        >>> full, drop = StepCost(10, 20, 10, 100), StepCost(10, 15, 5, 50)
        >>> round(predict(phases, full, drop), 3)  # half of a third
        0.167
    """
    seconds = phases.optimizer * (1 - drop.updated / full.updated)
    if full.weights:
        seconds += phases.weights * (1 - drop.weights / full.weights)
    if full.activations:
        seconds += phases.activations * (1 - drop.activations / full.activations)
    return seconds / phases.total


def _measure(
    bench: Bench, strategy: Strategy, seed: int, turns: int
) -> tuple[dict[bytes, list[float]], dict[bytes, list[int]]]:
    """By mask: drop steps' times over those of the full steps before them, and bytes saved.

    All steps are of one epoch, whose every second step drops: each new epoch would be looked at
    anew. So many turns through the masks are timed.
    """
    every_second = Schedule(every=2, start=1, steps=1)
    ldb = LayerDropBack(bench.model, bench.optimizer, strategy, every_second, seed=seed)
    ratios: dict[bytes, list[float]] = defaultdict(list)
    saved: dict[bytes, list[int]] = defaultdict(list)
    try:
        with ldb.epoch(None, 0):
            for _ in range(MEMORY_PAIRS):
                for _ in ("full", "drop"):
                    mask = _mask(ldb)
                    with SavedBytes(bench.model) as counted:
                        bench.step()
                    saved[mask].append(counted.total)
            for number in range(MEMORY_PAIRS, UNTIMED_PAIRS + MASKS * turns):
                full = bench.step().total
                mask = _mask(ldb)
                drop = bench.step().total
                if number >= UNTIMED_PAIRS:
                    ratios[mask].append(drop / full)
    finally:
        ldb.detach()
    return dict(ratios), dict(saved)


def _mask(ldb: LayerDropBack) -> bytes:
    return _FULL if ldb.mask is None else ldb.mask.tobytes()
