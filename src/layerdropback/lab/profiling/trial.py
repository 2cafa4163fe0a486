"""Steps of a copy of a model, without data where that is possible, to count what they cost."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...model.nested import map_tensors
from ..calling import Loss, call, first_output


def summed(outputs: Any) -> Tensor:
    """The sum of the first floating-point tensor in a model's outputs, for want of a loss.

    Example:
        >>> summed({"logits": torch.ones(2, 3)})
        tensor(6.)
    """
    return first_output(outputs).float().sum()


class Trial:
    """A copy of a model and a batch, without data where that is possible.

    Args:
        model: see `step_costs`, as are `batch` and `loss`.
        batch: what the model is called with.
        loss: makes a scalar of the model's outputs.

    Attributes:
        model: the copy.
        batch: its batch.
        loss: as given, or the default.

    Example:
        >>> Trial(nn.Linear(2, 2), torch.ones(1, 2), None).forward().device
        device(type='meta')
    """

    def __init__(self, model: nn.Module, batch: Any, loss: Loss | None):
        self.loss = loss or summed
        self.model = _without_data(model).train()
        self.batch = map_tensors(lambda tensor: tensor.detach().to("meta"), batch)
        try:
            self.forward()
        except RuntimeError:
            # A loss that holds labels of its own, or a forward pass that looks at numbers.
            self.model = copy.deepcopy(model).train()
            self.batch = map_tensors(Tensor.detach, batch)

    def forward(self) -> Tensor:
        """The loss."""
        return self.loss(call(self.model, self.batch))


def _without_data(model: nn.Module) -> nn.Module:
    """A deep copy on the ``meta`` device; tied parameters stay tied."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(_empty(parameter), parameter.requires_grad)
        for parameter in model.parameters()
    }
    memo |= {id(buffer): _empty(buffer) for buffer in model.buffers()}
    return copy.deepcopy(model, memo)


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")
