"""Activation memory: what a forward pass keeps for the backward pass."""

from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class SavedBytes:
    """Counts the tensors that autograd saves, each memory once, the model's own left out.

    It is what dropping can spare of a step's memory on any device; the allocator's peak holds
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
        own = [*model.parameters(), *model.buffers()]
        self._own = {_memory(tensor) for tensor in own}
        self._model = model
        self._seen: dict[int, int] = {}
        self.total = self.passes = 0

    def __enter__(self) -> Self:
        self._handle = self._model.register_forward_pre_hook(self._begin)
        self._hooks = saved_tensors_hooks(self._pack, lambda packed: packed)
        self._hooks.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.__exit__(kind, error, trace)
        self._handle.remove()
        self._settle()

    def _begin(self, *arguments: Any) -> None:
        self._settle()
        self.passes += 1

    def _settle(self) -> None:
        self.total += sum(self._seen.values())
        self._seen.clear()

    def _pack(self, tensor: Tensor) -> Tensor:
        memory = _memory(tensor)
        if memory not in self._own:
            self._seen[memory] = tensor.untyped_storage().nbytes()
        return tensor


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
