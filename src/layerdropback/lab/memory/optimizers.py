"""Optimizers by the names of ``ldb memory``, and two that stand for others."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

Make = Callable[[Iterable[Tensor]], Optimizer]


class EightBitAdamW(Optimizer):
    """The memory of bitsandbytes' 8-bit AdamW; it trains nothing.

    Both moments are one byte a number, with a float32 for each 256 of them; tensors of fewer than
    4,096 numbers have float32 moments. Its kernels work in place.

    Example:
        >>> weight = nn.Parameter(torch.ones(4096))
        >>> weight.grad = torch.ones(4096)
        >>> optimizer = EightBitAdamW([weight])
        >>> optimizer.step()
        >>> sum(value.nbytes for value in optimizer.state[weight].values())
        8320
    """

    _BLOCK, _SMALL = 256, 4096

    def __init__(self, params: Iterable[Tensor]):
        super().__init__(params, {"lr": 1e-4})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the states of what has a gradient."""
        for parameter in _with_gradients(self):
            state = self.state[parameter]
            if state:
                continue
            small = parameter.numel() < self._SMALL
            dtype = torch.float32 if small else torch.uint8
            state["exp_avg"] = torch.zeros_like(parameter, dtype=dtype)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=dtype)
            if not small:
                blocks = -(-parameter.numel() // self._BLOCK)
                state["absmax"] = parameter.new_zeros(blocks, dtype=torch.float32)
                state["absmax_sq"] = parameter.new_zeros(blocks, dtype=torch.float32)


class MasterWeights(Optimizer):
    """Any optimizer on float32 copies of the weights that the model has in lower precision.

    Gradients become float32 one by one, and each lower one is let go at once. The copies count as
    states.

    Args:
        params: of the model.
        make: makes the optimizer of the copies.

    Example:
        >>> weight = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
        >>> optimizer = MasterWeights([weight], lambda params: SGD(params, lr=0.5))
        >>> weight.grad = torch.ones(2, dtype=torch.bfloat16)
        >>> optimizer.step()
        >>> weight.tolist(), optimizer.state[weight]["master"].dtype
        ([0.5, 0.5], torch.float32)
    """

    def __init__(self, params: Iterable[Tensor], make: Make):
        super().__init__(params, {"lr": 1e-4})
        held = [parameter for group in self.param_groups for parameter in group["params"]]
        for parameter in held:
            if parameter.dtype != torch.float32:
                self.state[parameter]["master"] = parameter.detach().float()
        self.inner = make([self._trained(parameter) for parameter in held])

    def _trained(self, parameter: Any) -> Any:
        """What the inner optimizer moves: the copy, where there is one."""
        return self.state[parameter].get("master", parameter)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step on the copies, and take the weights over."""
        moved = list(_with_gradients(self))
        copied = [parameter for parameter in moved if "master" in self.state[parameter]]
        for parameter in copied:
            self.state[parameter]["master"].grad = parameter.grad.float()
            parameter.grad = None
        self.inner.step()
        self.inner.zero_grad()
        for parameter in copied:
            parameter.copy_(self.state[parameter]["master"])
        for parameter in moved:
            self.state[parameter]["inner"] = self.inner.state[self._trained(parameter)]


def _with_gradients(optimizer: Optimizer) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from (parameter for parameter in group["params"] if parameter.grad is not None)


OPTIMIZERS: dict[str, Make] = {
    "adamw-fused": lambda params: AdamW(params, lr=1e-4, fused=True),
    "adamw-foreach": lambda params: AdamW(params, lr=1e-4, foreach=True),
    "adamw-loop": lambda params: AdamW(params, lr=1e-4, foreach=False),
    "adamw-8bit": EightBitAdamW,
    "sgd": lambda params: SGD(params, lr=0.05, foreach=True),
    "sgd-momentum": lambda params: SGD(params, lr=0.05, momentum=0.9, foreach=True),
}


def optimizer_of(model: nn.Module, name: str, master: bool = False) -> Optimizer:
    """An optimizer of what requires a gradient.

    Args:
        model: whose parameters.
        name: one of `OPTIMIZERS`.
        master: with float32 copies of the weights.

    Example:
        >>> type(optimizer_of(nn.Linear(2, 2), "sgd")).__name__
        'SGD'
    """
    params = [parameter for parameter in model.parameters() if parameter.requires_grad]
    make = OPTIMIZERS[name]
    return MasterWeights(params, make) if master else make(params)
