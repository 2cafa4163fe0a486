"""One training step, counted, and what a later one would hold."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...controller import LayerDropBack
from ..calling import Loss, call, summed
from .ledger import Ledger


@dataclass
class Work:
    """What is trained, and on what.

    Attributes:
        model: in training mode.
        optimizer: of its parameters.
        batch: a tensor, a tuple of arguments, or a mapping of keyword arguments.
        loss: makes a scalar of the model's outputs.
        autocast: the type of the forward pass, None for none.
    """

    model: nn.Module
    optimizer: Optimizer
    batch: Any
    loss: Loss
    autocast: torch.dtype | None = None

    def value(self) -> Tensor:
        """The loss; nothing else of the outputs is kept."""
        with torch.autocast("cpu", self.autocast, enabled=self.autocast is not None):
            return self.loss(call(self.model, self.batch))


@dataclass(frozen=True)
class Counted:
    """What a step has shown besides the ledger's peaks.

    Attributes:
        saved: bytes that the forward pass has left for the backward pass.
        trained: how many numbers got a gradient.
    """

    saved: int
    trained: int


def own_loss(outputs: Any) -> Tensor:
    """The loss that the outputs have, as those of Hugging Face's models; else their sum."""
    loss = getattr(outputs, "loss", None)
    return loss if isinstance(loss, Tensor) else summed(outputs)


def step(ledger: Ledger, work: Work) -> Counted:
    """Train on the batch once; what is there afterwards is said to the ledger."""
    with ledger.phase("forward"):
        loss = work.value()
    ledger.settle()
    saved = ledger.live.get("saved", 0)
    with ledger.phase("backward"):
        loss.backward()  # type: ignore[no-untyped-call]
    ledger.assign_gradients(work.model)
    trained = sum(p.numel() for p in work.model.parameters() if p.grad is not None)
    with ledger.phase("step"):
        work.optimizer.step()
    ledger.assign_states(work.optimizer)
    work.optimizer.zero_grad()
    return Counted(saved, trained)


@contextmanager
def orderly() -> Iterator[None]:
    """While steps are counted, nothing is freed at times that chance decides about."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def make_states_of_all_turns(ldb: LayerDropBack) -> None:
    """Give all that takes turns the states that it has later in the run.

    They are like those of a parameter that has some. Nothing happens unless the strategy keeps the
    states of what rests: others let them go, or take them off the device.
    """
    if ldb.settings.strategy.resting != "keep":
        return
    chances = ldb.stats()["drop_chances"]
    turns = (layer for layer in ldb.layers if chances.get(layer.name, 1.0) < 1)
    waiting = {p for layer in turns for p in layer.parameters if p.requires_grad}
    for optimizer in ldb.optimizers:
        found = [(parameter, state) for parameter, state in optimizer.state.items() if state]
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in held if found else ():
            if parameter in waiting and not optimizer.state.get(parameter):
                other, state = found[0]
                made = {key: _like(value, other, parameter) for key, value in state.items()}
                optimizer.state[parameter] = made


def _like(value: Any, other: Tensor, parameter: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.shape == other.shape:
        return torch.zeros_like(parameter, dtype=value.dtype)
    return value.clone()
