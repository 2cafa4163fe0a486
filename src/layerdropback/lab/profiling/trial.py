"""Steps of a copy of a model, without data where that is possible, to see what they consist of."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...model.graph import output_tensors
from ...model.nested import map_tensors
from .copying import copy_of

Loss = Callable[[Any], Tensor]


class Call(NamedTuple):
    """All arguments of a model's call, and what it was made under."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    autocast: tuple[str, torch.dtype] | None = None  # kind of device, precision

    @classmethod
    def under_way(cls, args: tuple[Any, ...], kwargs: dict[str, Any], device: str) -> "Call":
        """One that is being made now, on a kind of device."""
        on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        return cls(args, kwargs, (device, torch.get_autocast_dtype(device)) if on else None)


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model with a batch: a tensor, a tuple of arguments, keyword arguments, or a `Call`.

    Example:
        >>> call(nn.Linear(3, 2), {"input": torch.zeros(4, 3)}).shape
        torch.Size([4, 2])
    """
    if isinstance(batch, Call):
        with (
            contextlib.nullcontext() if batch.autocast is None else torch.autocast(*batch.autocast)
        ):
            return model(*batch.args, **batch.kwargs)
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple | list) else model(batch)


def summed(outputs: Any) -> Tensor:
    """The sum of the first floating-point tensor in a model's outputs, for want of a loss.

    Example:
        >>> summed({"logits": torch.ones(2, 3)})
        tensor(6.)
    """
    return first_output(outputs).float().sum()


def first_output(outputs: Any) -> Tensor:
    """The first floating-point tensor in a model's outputs.

    Example:
        >>> first_output({"classes": torch.ones(2, dtype=int), "logits": torch.ones(2, 3)}).shape
        torch.Size([2, 3])
    """
    for tensor in output_tensors(outputs):
        if tensor.is_floating_point():
            return tensor
    raise TypeError("the model's outputs hold no floating-point tensor; give a loss")


class Trial:
    """A copy of a model and a batch, without data where that is possible, to count steps with.

    Args:
        model: see `step_costs`, as are `batch` and `loss`.
        batch: what the model is called with.
        loss: makes a scalar of the model's outputs.

    Attributes:
        model: the copy.
        batch: its batch.
        loss: as given, or the default.
    """

    def __init__(self, model: nn.Module, batch: Any, loss: Loss | None):
        self.loss = loss or summed
        self.model = copy_of(model, data=False).train()
        self.batch = map_tensors(lambda tensor: tensor.detach().to("meta"), batch)
        try:
            self.forward()
        except RuntimeError:
            # A loss that holds labels of its own, or a forward pass that looks at numbers.
            self.model = copy_of(model).train()
            self.batch = map_tensors(Tensor.detach, batch)

    def forward(self) -> Tensor:
        """The loss."""
        return self.loss(call(self.model, self.batch))
