"""Looking through the wrappers that others put around a model."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# From this release on, a compiled graph notices that `requires_grad` was toggled (pytorch#139476).
COMPILE_SEES_FLAGS = (2, 12)


def is_compile_wrapper(module: nn.Module) -> bool:
    """Whether ``torch.compile(module)`` made this module.

    Told by its attribute, because importing the wrapper's class takes a second.
    """
    return "_orig_mod" in module._modules


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own model inside ``DistributedDataParallel`` and ``torch.compile``.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> unwrap(net) is net
        True
    """
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif is_compile_wrapper(model):
            model = model.get_submodule("_orig_mod")
        else:
            return model


def data_parallel(model: nn.Module) -> DistributedDataParallel | None:
    """The ``DistributedDataParallel`` around a model, also one that was compiled since."""
    while not isinstance(model, DistributedDataParallel):
        if not is_compile_wrapper(model):
            return None
        model = model.get_submodule("_orig_mod")
    return model


def canonical_name(name: str) -> str:
    """A parameter's or module's name without the parts that ``torch.compile`` adds.

    Example:
        >>> canonical_name("blocks.0._orig_mod.weight")
        'blocks.0.weight'
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def named_module(model: nn.Module, name: str) -> nn.Module:
    """The module of a canonical name.

    Example:
        >>> named_module(nn.Sequential(nn.Linear(2, 2)), "0")
        Linear(in_features=2, out_features=2, bias=True)
    """
    found: dict[str, nn.Module] = {canonical_name(n): m for n, m in model.named_modules()}
    return found[name]


def compiled_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of `model` that are compiled as one piece, with their names."""
    for name, module in model.named_modules():
        if is_compile_wrapper(module) or getattr(module, "_compiled_call_impl", None) is not None:
            yield canonical_name(name) or "(the whole model)", module


def compile_ignores_flags() -> bool:
    """Whether this torch compiles graphs that silently ignore ``requires_grad``."""
    release = torch.__version__.split("+")[0].split(".")
    return (int(release[0]), int(release[1])) < COMPILE_SEES_FLAGS
