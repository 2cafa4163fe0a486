"""What moving the weights takes: bytes of gradients and of the optimizer's states, exactly."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self

from torch import Tensor
from torch.optim import Optimizer

from ..interop.private import has_step_hooks
from ..interop.wrappers import torch_optimizer


class MovingBytes(AbstractContextManager["MovingBytes"]):
    """The most bytes of gradients, and of states, that an optimizer's steps had.

    Counted as a step begins and as it ends. States that were taken out, by `Blocks` for instance,
    do not count.

    Args:
        optimizer: of torch, or around one of torch's; None, or one that has no step hooks: nothing
            is counted.

    Attributes:
        gradients: bytes; None where nothing was counted.
        states: bytes; None where nothing was counted.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(10))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        >>> weight.sum().backward()
        >>> with MovingBytes(optimizer) as counted:
        ...     optimizer.step()
        >>> counted.gradients, counted.states
        (40, 40)
    """

    def __init__(self, optimizer: object):
        self._optimizer = torch_optimizer(optimizer)
        self._hooks = ExitStack()
        self.gradients: int | None = None
        self.states: int | None = None

    def __enter__(self) -> Self:
        found = self._optimizer
        if isinstance(found, Optimizer) and has_step_hooks(found):
            for handle in (
                found.register_step_pre_hook(self._count),
                found.register_step_post_hook(self._count),
            ):
                self._hooks.callback(handle.remove)
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()

    def _count(self, optimizer: Optimizer, *arguments: Any) -> None:
        gradients = (p.grad for group in optimizer.param_groups for p in group["params"])
        held = sum(gradient.nbytes for gradient in gradients if gradient is not None)
        self.gradients = max(held, self.gradients or 0)
        self.states = max(state_bytes(optimizer) or 0, self.states or 0)


def state_bytes(optimizer: object) -> int | None:
    """Bytes of the states that an optimizer holds now; None for what is none.

    Example:
        >>> import torch
        >>> state_bytes(torch.optim.AdamW([torch.nn.Parameter(torch.zeros(10))]))
        0
    """
    found = torch_optimizer(optimizer)
    if not isinstance(found, Optimizer):
        return None
    return sum(tensor.nbytes for entry in found.state.values() for tensor in _tensors(entry))


def _tensors(value: object) -> Iterator[Tensor]:
    """Of an entry, however deep: LBFGS has lists of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for part in value.values() for tensor in _tensors(part))
    elif isinstance(value, list | tuple):
        yield from (tensor for part in value for tensor in _tensors(part))
