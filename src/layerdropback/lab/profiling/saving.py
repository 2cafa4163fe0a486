"""What a way of dropping spares of a step: from FLOPs, predicted, and measured."""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...controller import LayerDropBack
from ...settings import Strategy, Unit
from ..saved import SavedBytes
from .bench import Bench
from .cost import StepCost, step_costs
from .phases import Phases

# Not `adaptive`, which spares what training tells it to, and `none`, which spares nothing.
PROFILED = ("uniform", "truncate", "branch")

# So many masks are drawn, spread evenly over what can be drawn, and used in turns: what they spare
# is so different (of cuts above all) that only the mean over the same ones can be compared.
MASKS = 5

_FULL = b""  # in place of a full step's mask

# Pairs of steps before those that are timed; memory is counted in them.
MEMORY_PAIRS = MASKS


@dataclass(frozen=True)
class Setting:
    """One way to drop.

    Attributes:
        strategy: see `LayerDropBack`, as are all others.
        unit: what drops as one.
        drop_rate: of each layer.
        keep: layers never to drop.
        seed: of the masks.
    """

    strategy: Strategy = "uniform"
    unit: Unit = "layer"
    drop_rate: float = 0.5
    keep: tuple[str, ...] = ()
    seed: int = 0

    def __str__(self) -> str:
        """For tables.

        Example:
            >>> str(Setting()), str(Setting(unit="block"))
            ('uniform 0.5', 'uniform 0.5 (block)')
        """
        unit = "" if self.unit == "layer" else f" ({self.unit})"
        return f"{self.strategy} {self.drop_rate:g}{unit}"


@dataclass(frozen=True)
class OfMask:
    """What one mask spares, as shares of a full step's.

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
    """What one setting spares of a drop step; every number is a share of a full step's.

    Attributes:
        setting: which.
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

    setting: Setting
    ideal: float
    predicted: float
    measured: float
    low: float
    high: float
    memory: float
    n: int
    masks: tuple["OfMask", ...] = ()

    @property
    def error(self) -> float:
        """How far the predicted time of a drop step is from the measured one, as a share of it.

        Example:
            >>> round(Saving(Setting(), 0.2, 0.19, 0.10, 0.0, 0.2, 0.0, 9).error, 9)
            -0.1
        """
        return (1 - self.predicted) / (1 - self.measured) - 1

    @property
    def of_run(self) -> float:
        """Of the time of a run in which every second epoch drops, as measured."""
        return self.measured / 2


def saving_of(setting: Setting, bench: Bench, phases: Phases, pairs: int = 15) -> Saving:
    """Predict and measure what a setting spares.

    Args:
        setting: the way to drop.
        bench: whose steps.
        phases: of the same bench.
        pairs: of a full and a drop step, at least; each mask gets as many.

    Raises:
        AttachError: this model cannot be trained so; see `LayerDropBack`.
    """
    drawn = vars(setting) | {"masks": MASKS}
    full, drop = step_costs(bench.model, bench.batch, bench.loss, draws=MASKS, **drawn)
    ratios, saved = _measure(bench, drawn, math.ceil(pairs / MASKS))
    low, _, high = statistics.quantiles(itertools.chain.from_iterable(ratios.values()), n=4)
    masks = [_of_mask(mask, found, saved) for mask, found in ratios.items()]
    counts = [mask.n for mask in masks]
    return Saving(
        setting,
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
    """Share of a step's time that a drop step spares.

    What the gradients of weights take, and those of activations, shrinks with the FLOPs of each;
    the optimizer's step with the parameters that it moves. The forward pass stays.

    Args:
        phases: seconds of a full step.
        full: a full step's FLOPs.
        drop: a drop step's.

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
    bench: Bench, settings: dict[str, Any], turns: int
) -> tuple[dict[bytes, list[float]], dict[bytes, list[int]]]:
    """Time of drop steps over that of the full steps before them, and bytes saved for backward.

    The bytes are counted in the first turn through the masks, which warms up, too.

    Args:
        bench: whose steps.
        settings: LayerDropBack's.
        turns: through the masks, that are timed.

    Returns:
        Both by mask.
    """
    ldb = LayerDropBack(bench.model, bench.optimizer, **settings, lr_scale=1.0)
    ratios: dict[bytes, list[float]] = defaultdict(list)
    saved: dict[bytes, list[int]] = defaultdict(list)
    try:
        for number in range(MEMORY_PAIRS + MASKS * turns):
            seconds, mask = {}, _FULL
            for epoch, mode in enumerate(("full", "drop"), start=2 * number):
                with ldb.epoch(None, epoch):
                    mask = _FULL if ldb.mask is None else ldb.mask.tobytes()
                    if number < MEMORY_PAIRS:
                        with SavedBytes(bench.model) as counted:
                            bench.step()
                        saved[mask].append(counted.total)
                    else:
                        seconds[mode] = bench.step().total
            if seconds:
                ratios[mask].append(seconds["drop"] / seconds["full"])
    finally:
        ldb.detach()
    return dict(ratios), dict(saved)
