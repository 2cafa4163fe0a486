"""Steps of one model on one batch, timed."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...model.graph import output_tensors
from ..calling import Loss, call
from .cost import activations_only
from .trial import summed


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

    def step(self) -> StepTimes:
        """One step of training."""
        start = self.clock()
        with self.autocast():
            value = self.loss(call(self.model, self.batch))
        forward = self.clock()
        value.backward()  # type: ignore[no-untyped-call]
        backward = self.clock()
        self.optimizer.step()
        self.optimizer.zero_grad()
        end = self.clock()
        return StepTimes(forward - start, backward - forward, end - backward, forward, backward)

    @contextmanager
    def activations_only(self) -> Iterator[None]:
        """While a backward pass computes the gradients of activations alone; the input's too."""
        batch = self.batch
        with activations_only(self.model, batch, self.loss) as self.batch:
            try:
                yield
            finally:
                self.batch = batch

    def clock(self) -> float:
        """Seconds, once the device has done all of its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
