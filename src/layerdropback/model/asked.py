"""Activations whose gradient the forward pass itself asks for: hooks on them, ``retain_grad``.

Such an activation must require a gradient in every step, so some layer before it must be kept.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..interop.private import node_number
from .graph import graph_roots

_ASKING: tuple[Any, ...] = (Tensor.register_hook, Tensor.retain_grad, torch.autograd.grad)
_LOOKING = Tensor.requires_grad.__get__  # type: ignore[attr-defined]

# Where a call passes through on its way here.
_ON_THE_WAY = frozenset({"torch.overrides", "torch._tensor", "torch.autograd"})


class AskedGradients(TorchFunctionMode):
    """Notes the activations whose gradient is asked for while it is entered, by node number."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []
        self._looked_at: set[int] = set()  # of what the code asked whether it requires a gradient

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, and note what it asks for."""
        if func == _LOOKING and args[0].grad_fn is not None:
            self._looked_at.add(node_number(args[0].grad_fn))
        if func in _ASKING and not _is_asked_by_torch():
            asked = args[1:2] if func is torch.autograd.grad else args[:1]
            named = (kwargs or {}).get("inputs", ())
            numbers = map(node_number, graph_roots((*asked, named)))
            # Code that asks first whether it may does without, too.
            self.numbers += [number for number in numbers if number not in self._looked_at]
        return func(*args, **(kwargs or {}))


def _is_asked_by_torch() -> bool:
    """Whether the call comes from inside of torch (FSDP2), which asks first whether it may."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _ON_THE_WAY:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("torch.")
