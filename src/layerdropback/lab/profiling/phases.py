"""A full step's time by phase: the paper's Figure 1."""

import statistics
from dataclasses import dataclass

from .bench import Bench, StepTimes


@dataclass(frozen=True)
class Phases:
    """Seconds of a full step by phase, medians over the steps.

    Attributes:
        forward: the forward pass and the loss.
        activations: the backward pass with all weights frozen and the input's gradient asked for.
        weights: what the whole backward pass takes beyond that.
        optimizer: its step.
        n: full steps, each with one of frozen weights beside it.
    """

    forward: float
    activations: float
    weights: float
    optimizer: float
    n: int

    @property
    def total(self) -> float:
        """A step's seconds.

        Example:
            >>> Phases(1.0, 1.5, 0.5, 0.25, n=3).total
            3.25
        """
        return self.forward + self.activations + self.weights + self.optimizer

    @property
    def backward(self) -> float:
        """The backward pass's part of a step.

        Example:
            >>> Phases(1.0, 1.5, 0.5, 1.0, n=3).backward
            0.5
        """
        return (self.activations + self.weights) / self.total

    def shares(self) -> dict[str, float]:
        """Each phase's part of a step, by its name in tables."""
        return {
            "forward": self.forward / self.total,
            "backward, activations": self.activations / self.total,
            "backward, weights": self.weights / self.total,
            "optimizer": self.optimizer / self.total,
        }


def time_phases(bench: Bench, steps: int = 10, warmup: int = 2) -> Phases:
    """Time full steps, and backward passes with frozen weights, in turns.

    Args:
        bench: whose steps.
        steps: full steps that count.
        warmup: before these.
    """
    found: list[tuple[StepTimes, float]] = []
    for number in range(warmup + steps):
        full = bench.step()
        with bench.activations_only():
            frozen = bench.step().backward
        if number >= warmup:
            found.append((full, frozen))
    backward = statistics.median(full.backward for full, _ in found)
    # The median of the differences, as the two of a pair met the same machine.
    weights = statistics.median(full.backward - frozen for full, frozen in found)
    weights = min(max(0.0, weights), backward)
    return Phases(
        forward=statistics.median(full.forward for full, _ in found),
        activations=backward - weights,
        weights=weights,
        optimizer=statistics.median(full.optimizer for full, _ in found),
        n=steps,
    )
