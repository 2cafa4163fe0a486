"""Steps of one model on one batch, timed whole and by phase (the paper's Figure 1)."""

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...model.graph import output_tensors
from ...runs.allocator import keep_freed_memory
from ..calling import Loss, call, now, summed
from .cost import activations_only


@dataclass(frozen=True)
class StepTimes:
    """One step's seconds by phase, and when its passes ended.

    Attributes:
        forward: the forward pass and the loss.
        backward: the backward pass.
        optimizer: its step, and clearing the gradients.
        forward_end: on the bench's clock.
        backward_end: the same.
    """

    forward: float
    backward: float
    optimizer: float
    forward_end: float
    backward_end: float

    @property
    def total(self) -> float:
        """The whole step's."""
        return self.forward + self.backward + self.optimizer


class Bench:
    """A model, a batch and an optimizer to make steps with.

    Every step is a whole one, but at learning rate 0: one batch over and over would soon be learnt,
    and numbers too small for the processor's fast path would take its place. Buffers change.

    Args:
        model: on its device.
        batch: on the same device: a tensor, a tuple of arguments, or a mapping of keyword
            arguments.
        loss: makes a scalar of the model's outputs; by default the sum of the first tensor in them.
        optimizer: of the model's parameters, whose learning rates are set to 0; SGD with Nesterov
            momentum by default.
        autocast: makes a context for each forward pass.

    Example:
        >>> bench = Bench(nn.Linear(3, 2), torch.ones(4, 3))
        >>> bench.step().total > 0
        True
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Any,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ):
        self.model, self.batch, self.loss = model.train(), batch, loss or summed
        self.autocast = autocast
        self.optimizer = optimizer or torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=1e-4, momentum=0.9, nesterov=True
        )
        for group in self.optimizer.param_groups:
            group["lr"] = torch.zeros_like(rate) if isinstance(rate := group["lr"], Tensor) else 0.0
        self.device = output_tensors(batch)[0].device
        keep_freed_memory(self.device)
        self.clock = partial(now, self.device)  # once the device has done all of its work

    def step(self, batch: Any = None) -> StepTimes:
        """One step of training, on its batch or on another one."""
        start = self.clock()
        with self.autocast():
            value = self.loss(call(self.model, self.batch if batch is None else batch))
        forward = self.clock()
        value.backward()  # type: ignore[no-untyped-call]
        backward = self.clock()
        self.optimizer.step()
        self.optimizer.zero_grad()
        end = self.clock()
        return StepTimes(forward - start, backward - forward, end - backward, forward, backward)


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
    """Time so many full steps, and backward passes with frozen weights, in turns."""
    found: list[tuple[StepTimes, float]] = []
    for number in range(warmup + steps):
        full = bench.step()
        with activations_only(bench.model, bench.batch, bench.loss) as batch:
            frozen = bench.step(batch).backward
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
