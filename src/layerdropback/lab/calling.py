"""Calling a user's model to look at it, as if nobody had, and for how long."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..model.graph import output_tensors
from ..model.recording import analysis

Loss = Callable[[Any], Tensor]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """While a model is called to be looked at; buffers and global generators are put back."""
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    generators = random.getstate(), np.random.get_state()
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    fork = torch.random.fork_rng(devices=sorted(devices, key=str))
    try:
        with analysis(), fork, torch.enable_grad():
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for module, name, buffer, value in buffers:
            # By its data, so that a backward pass that waits for the buffer sees no change.
            buffer.data.copy_(value)
            setattr(module, name, buffer)  # a forward pass may have put another in its place


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model with a batch: a tensor, a tuple of arguments, or keyword arguments.

    Example:
        >>> call(nn.Linear(3, 2), {"input": torch.zeros(4, 3)}).shape
        torch.Size([4, 2])
    """
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple | list) else model(batch)


def first_output(outputs: Any) -> Tensor:
    """The first floating-point tensor in a model's outputs.

    Raises:
        TypeError: there is none.

    Example:
        >>> first_output({"classes": torch.ones(2, dtype=int), "logits": torch.ones(2, 3)}).shape
        torch.Size([2, 3])
    """
    for tensor in output_tensors(outputs):
        if tensor.is_floating_point():
            return tensor
    raise TypeError("the model's outputs hold no floating-point tensor; give a loss")


def summed(outputs: Any) -> Tensor:
    """The sum of the first floating-point tensor in a model's outputs, for want of a loss.

    Example:
        >>> summed({"logits": torch.ones(2, 3)})
        tensor(6.)
    """
    return first_output(outputs).float().sum()


def now(device: torch.device) -> float:
    """Seconds on the wall clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
