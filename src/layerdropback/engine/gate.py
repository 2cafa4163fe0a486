"""Lets a loop ask for the gradients of dropped parameters by name: they are zero.

``torch.autograd.grad(loss, parameters)`` refuses a parameter that has no part in the graph. The
parameters of dropped layers have none, though to the user's code they require a gradient. Where a
loop is seen to take gradients this way, the model's outputs get one more node, through which they
have a part (multi-task methods, MAML).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..interop.private import is_asked_for_by_name
from ..model.nested import map_tensors


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, *parameters: Tensor) -> Tensor:
        ctx.parameters = parameters
        return output.clone()  # what is a view could not be changed in place any more

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        # A plain backward() of the same loop leaves them without a gradient.
        asked = (p if is_asked_for_by_name(p) else None for p in ctx.parameters)
        return gradients[0], *(None if p is None else _Zeros.apply(gradients[0], p) for p in asked)


class _Zeros(torch.autograd.Function):
    """With a part in the graph, for the gradient of a gradient."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, parameter: Tensor) -> Tensor:
        ctx.gradient = torch.empty_like(gradient, device="meta")
        return torch.zeros_like(parameter)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return torch.zeros_like(ctx.gradient, device=gradients[0].device), None


def through_gate(outputs: Any, parameters: Sequence[nn.Parameter]) -> Any:
    """The same outputs, with a graph in which these parameters have a gradient of zero."""

    def passed(tensor: Tensor) -> Tensor:
        made: Tensor = _Gate.apply(tensor, *parameters) if tensor.requires_grad else tensor
        return made

    return map_tensors(passed, outputs)
