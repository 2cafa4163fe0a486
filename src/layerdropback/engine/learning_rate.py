"""A learning rate that is scaled only while the optimizer steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class _Scaled(float):
    """A scaled rate that knows the user's; what an optimizer multiplies stays a multiple of both.

    So an optimizer that lets its own rate decay inside of ``step()`` decays the user's.
    """

    user: float

    def __new__(cls, scaled: float, user: float) -> "_Scaled":
        made = super().__new__(cls, scaled)
        made.user = user
        return made

    def __mul__(self, other: Any) -> Any:
        return self._change(float.__mul__, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._change(float.__truediv__, other)

    def _change(self, change: Callable[[float, Any], Any], other: Any) -> Any:
        scaled = change(self, other)
        if isinstance(other, _Scaled) or not isinstance(scaled, float):
            return scaled
        return _Scaled(scaled, change(float(self.user), other))

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (self.user,)  # a checkpoint from within a closure holds the user's


class LRScaler:
    """Scales the learning rate of every param group, and puts the user's back.

    The user's value is put back, never divided back, so that no rounding creeps into what the
    scheduler reads. A number that is written to a rate meanwhile is kept. A tensor (a fused or
    capturable optimizer's) is changed in place: a captured graph reads that very tensor. What it
    has become meanwhile is taken for a multiple of what it was, as nothing tells the two apart: an
    optimizer that lets a tensor decay would make it grow by the factor in each step otherwise.
    """

    def __init__(self, optimizer: Optimizer):
        self._optimizer = optimizer
        self._factor = 1.0
        self._groups: list[dict[str, Any]] = []
        self._tensors: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # groups may share one

    def scale(self, factor: float) -> None:
        """Multiply every group's rate, after putting back what an earlier call left scaled."""
        self.restore()
        if factor == 1:
            return
        self._factor, self._groups = factor, list(self._optimizer.param_groups)
        for group in self._groups:
            rate = group["lr"]
            if not isinstance(rate, Tensor):
                group["lr"] = _Scaled(rate * factor, user=rate)
            elif id(rate) not in self._tensors:
                user = rate.detach().clone()
                with torch.no_grad():
                    rate.mul_(factor)
                self._tensors[id(rate)] = (rate, user, rate.detach().clone())

    def restore(self) -> None:
        """Put the user's rates back; nothing happens where none is scaled."""
        while self._groups:
            group = self._groups.pop()
            rate = group["lr"]
            if isinstance(rate, _Scaled):
                group["lr"] = rate.user
            elif isinstance(rate, Tensor) and id(rate) not in self._tensors:
                group["lr"] = rate / self._factor
        while self._tensors:
            _, (rate, user, scaled) = self._tensors.popitem()
            with torch.no_grad():
                # On the device: no number of it is asked for.
                rate.copy_(torch.where(rate == scaled, user, rate / self._factor))
