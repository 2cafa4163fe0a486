"""What a way of dropping spares of a step: from FLOPs, predicted, and measured."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...controller import LayerDropBack
from ...cost import StepCost, activation_flops, step_costs
from ...settings import Strategy, Unit
from ..saved import SavedBytes
from .bench import Bench
from .phases import Phases

# Pairs of steps before those that are timed; memory is counted in them.
MEMORY_PAIRS = 5


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
class Saving:
    """What one setting spares of a drop step; every number is a share of a full step's.

    Attributes:
        setting: which.
        ideal: of the FLOPs.
        predicted: of the time, by the times of the phases and the FLOPs of each.
        measured: of the time, the median over pairs of steps that took turns.
        low: the lower quartile of that.
        high: the upper quartile.
        memory: of the bytes that the forward pass keeps for the backward pass.
        n: pairs.
    """

    setting: Setting
    ideal: float
    predicted: float
    measured: float
    low: float
    high: float
    memory: float
    n: int

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


def savings(
    bench: Bench, phases: Phases, settings: Sequence[Setting], pairs: int = 15
) -> Iterator[Saving]:
    """Predict and measure what each setting spares, one after the other.

    Args:
        bench: whose steps.
        phases: of the same bench.
        settings: the ways to drop.
        pairs: of a full and a drop step, for each setting.

    Raises:
        AttachError: see `LayerDropBack`.
    """
    activations = activation_flops(bench.model, bench.batch, bench.loss)
    for setting in settings:
        full, drop = step_costs(bench.model, bench.batch, bench.loss, **vars(setting))
        ratios, memory = _measure(bench, setting, pairs)
        low, middle, high = statistics.quantiles(ratios, n=4)
        yield Saving(
            setting,
            ideal=1 - drop.total / full.total,
            predicted=predict(phases, full, drop, activations),
            measured=1 - middle,
            low=1 - high,
            high=1 - low,
            memory=memory,
            n=pairs,
        )


def predict(phases: Phases, full: StepCost, drop: StepCost, activations: float) -> float:
    """Share of a step's time that a drop step spares.

    What the gradients of weights take, and those of activations, shrinks with the FLOPs of each;
    the optimizer's step with the parameters that it moves. The forward pass stays.

    Args:
        phases: seconds of a full step.
        full: a full step's FLOPs.
        drop: a drop step's.
        activations: FLOPs of the backward pass for activations alone.

    Example:
        >>> phases = Phases(forward=1.0, activations=1.0, weights=1.0, optimizer=0.0, n=1)
        >>> full, drop = StepCost(10, 20, 100), StepCost(10, 15, 50)
        >>> round(predict(phases, full, drop, activations=10), 3)  # half of a third
        0.167
    """
    weights = max(0.0, full.backward - activations)
    spared = full.backward - drop.backward
    of_weights = min(spared, weights)
    seconds = phases.optimizer * (1 - drop.updated / full.updated)
    if weights > 0:
        seconds += phases.weights * of_weights / weights
    if spared > of_weights:
        seconds += phases.activations * (spared - of_weights) / (full.backward - weights)
    return seconds / phases.total


def _measure(bench: Bench, setting: Setting, pairs: int) -> tuple[list[float], float]:
    """Time of drop steps over that of the full steps before them, and the share of memory spared.

    What is counted in the first pairs is memory; they warm up, too.
    """
    ldb = LayerDropBack(bench.model, bench.optimizer, **vars(setting), lr_scale=1.0)
    ratios, saved = [], {"full": 0, "drop": 0}
    try:
        for number in range(MEMORY_PAIRS + pairs):
            seconds = {}
            for epoch, mode in enumerate(("full", "drop"), start=2 * number):
                with ldb.epoch(None, epoch):
                    if number < MEMORY_PAIRS:
                        with SavedBytes(bench.model) as counted:
                            bench.step()
                        saved[mode] += counted.total
                    else:
                        seconds[mode] = bench.step().total
            if seconds:
                ratios.append(seconds["drop"] / seconds["full"])
    finally:
        ldb.detach()
    return ratios, 1 - saved["drop"] / saved["full"] if saved["full"] else 0.0
