"""A learning rate that is scaled only while the optimizer steps."""

from typing import Any

import torch
from torch.optim import Optimizer


class LRScaler:
    """Scales the learning rate of every param group, and puts the saved values back.

    The saved value is put back, never divided back, so that no rounding creeps into what the
    scheduler reads. A tensor (a fused or capturable optimizer's) is changed in place: a captured
    graph reads that very tensor.

    Example:
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> scaler = LRScaler(optimizer)
        >>> scaler.scale(2.0)
        >>> optimizer.param_groups[0]["lr"]
        0.2
        >>> scaler.restore()
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """

    def __init__(self, optimizer: Optimizer):
        self._optimizer = optimizer
        self._saved: list[tuple[dict[str, Any], Any, Any]] = []

    def scale(self, factor: float) -> None:
        """Multiply every group's rate, after putting back what an earlier call left scaled."""
        self.restore()
        if factor == 1:
            return
        scaled: set[int] = set()  # groups may share one tensor
        for group in self._optimizer.param_groups:
            rate = group["lr"]
            if isinstance(rate, torch.Tensor):
                if id(rate) in scaled:
                    continue
                scaled.add(id(rate))
                self._saved.append((group, rate, rate.detach().clone()))
                with torch.no_grad():
                    rate.mul_(factor)
            else:
                self._saved.append((group, rate, rate))
                group["lr"] = rate * factor

    def restore(self) -> None:
        """Put the saved rates back; nothing happens where none is scaled."""
        while self._saved:
            group, rate, value = self._saved.pop()
            if isinstance(rate, torch.Tensor):
                with torch.no_grad():
                    rate.copy_(value)
            group["lr"] = rate
