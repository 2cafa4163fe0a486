"""Copies of models that are sharded no more, to try things with."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...interop.sharding import is_sharded, sharded_modules, sharding_class, whole


def copy_of(model: nn.Module, data: bool = True) -> nn.Module:
    """A deep copy of a model, whole where the model is sharded.

    Args:
        model: stays as it is. Of a sharded one every rank must ask, where data is wanted.
        data: whether numbers are copied; without, the copy's tensors are on the ``meta`` device.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> torch.equal(copy_of(layer).weight, layer.weight)
        True
        >>> copy_of(layer, data=False).weight.device
        device(type='meta')
    """
    memo: dict[int, Any] = {}  # what the copy takes for each tensor; tied ones stay tied
    for parameter in model.parameters():
        if data and not is_sharded(parameter):
            continue
        value = whole(parameter.detach()).clone() if data else _empty(parameter)
        memo[id(parameter)] = nn.Parameter(value, parameter.requires_grad)
    if not data:
        memo |= {id(buffer): _empty(buffer) for buffer in model.buffers()}
    with _copyable(model):
        return copy.deepcopy(model, memo)


def _empty(tensor: Tensor) -> Tensor:
    if is_sharded(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return torch.empty_like(tensor, device="meta")


@contextlib.contextmanager
def _copyable(model: nn.Module) -> Iterator[None]:
    """While FSDP2's modules can be copied, which they refuse otherwise."""
    before = []
    for _, module in sharded_modules(model):
        attributes = vars(module)
        before.append((attributes, attributes.get("__deepcopy__")))
        attributes["__deepcopy__"] = _copier(module)
    try:
        yield
    finally:
        for attributes, copier in before:
            del attributes["__deepcopy__"]
            if copier is not None:
                attributes["__deepcopy__"] = copier


def _copier(module: nn.Module) -> Callable[[dict[int, Any]], nn.Module]:
    """Copies one module as what it was before it was sharded."""

    def copied(memo: dict[int, Any]) -> nn.Module:
        kind = sharding_class()
        plain: Any = next(base for base in type(module).__mro__ if not issubclass(base, kind))
        made: nn.Module = plain.__new__(plain)
        memo[id(module)] = made
        for name, value in vars(module).items():
            if name.endswith("_hooks"):
                value = type(value)((n, hook) for n, hook in value.items() if not _of_fsdp(hook))
            if not name.startswith("__"):  # FSDP2's state, and the copier
                vars(made)[name] = copy.deepcopy(value, memo)
        return made

    return copied


def _of_fsdp(hook: object) -> bool:
    owner = getattr(hook, "__self__", None)
    return type(owner).__module__.startswith("torch.distributed.fsdp")
