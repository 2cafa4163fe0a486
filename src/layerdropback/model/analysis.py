"""Calling a user's model to look at it, as if nobody had."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

_running = 0


def is_running() -> bool:
    """Whether a model is called for the sake of analysis, so that hooks stand aside.

    Example:
        >>> is_running()
        False
    """
    return _running > 0


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """While a model is called to be looked at; buffers and global generators are put back.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> with undisturbed(norm):
        ...     _ = norm(torch.randn(4, 2))
        >>> int(norm.num_batches_tracked)
        0
    """
    global _running
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    generators = random.getstate(), np.random.get_state()
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    _running += 1
    try:
        with torch.random.fork_rng(devices=sorted(devices, key=str)), torch.enable_grad():
            yield
    finally:
        _running -= 1
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        for module, name, buffer, value in buffers:
            # By its data, so that a backward pass that waits for the buffer sees no change.
            buffer.data.copy_(value)
            setattr(module, name, buffer)  # a forward pass may have put another in its place
