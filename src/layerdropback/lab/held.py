"""What a training step holds in memory, counted: saved tensors, gradients, optimizer states."""

from contextlib import ExitStack
from typing import Any, Self

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer

from ..interop.private import has_step_hooks
from ..interop.wrappers import torch_optimizer
from ..model.graph import output_tensors


class SavedBytes:
    """Counts the tensors that autograd saves, each memory once, the model's own left out.

    It is what dropping can save of a step's memory on any device; the allocator's peak holds
    weights, optimizer state and workspaces as well.

    Args:
        model: whose parameters and buffers are not counted.

    Attributes:
        total: bytes, of all forward passes so far.
        passes: forward passes of the model so far.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> with SavedBytes(model) as saved:
        ...     loss = model(torch.zeros(2, 4)).sum()
        >>> saved.total, saved.passes  # the input, and ReLU's output
        (96, 1)
    """

    def __init__(self, model: nn.Module):
        self._own = own_memory(model)
        self._model = model
        self._seen: dict[int, int] = {}
        self._hooks = ExitStack()
        self.total = self.passes = 0

    def __enter__(self) -> Self:
        self._hooks.callback(self._model.register_forward_pre_hook(self._begin).remove)
        self._hooks.enter_context(saved_tensors_hooks(self._pack, lambda packed: packed))
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()
        self._settle()

    def _begin(self, *arguments: Any) -> None:
        self._settle()
        self.passes += 1

    def _settle(self) -> None:
        self.total += sum(self._seen.values())
        self._seen.clear()

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor


def own_memory(model: nn.Module) -> set[int]:
    """Where the model's parameters and buffers lie, which no forward pass adds."""
    own = [*model.parameters(), *model.buffers()]
    return {tensor.untyped_storage().data_ptr() for tensor in own}


class MovingBytes:
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
            self._hooks.callback(found.register_step_pre_hook(self._count).remove)
            self._hooks.callback(found.register_step_post_hook(self._count).remove)
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
    # However deep: LBFGS has lists of them.
    return sum(tensor.nbytes for tensor in output_tensors([*found.state.values()]))
