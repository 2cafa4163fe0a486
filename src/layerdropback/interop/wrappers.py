"""What others put around a model or an optimizer.

``fully_shard`` (FSDP2) shards a model's parameters: between passes they are shards (``DTensor``),
which the optimizer and LayerDropBack hold. A module's forward pass uses whole tensors instead, and
these are what autograd sees.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .private import has_step_hooks, is_compile_wrapper, settle_sharded


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own model inside ``DistributedDataParallel`` and ``torch.compile``."""
    *_, inner = _layers_of(model)
    return inner


def called_module(model: nn.Module) -> nn.Module:
    """The module whose call is the forward pass; nothing inside a compiled one can be hooked."""
    wrappers = list(_layers_of(model))
    return next((module for module in wrappers if is_compile_wrapper(module)), wrappers[-1])


def _layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """A model and what is inside its wrappers, the outermost first."""
    yield model
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif is_compile_wrapper(model):
            model = model.get_submodule("_orig_mod")
        else:
            return
        yield model


def data_parallels(*models: nn.Module) -> list[DistributedDataParallel]:
    """Every ``DistributedDataParallel`` around models or inside them, each once."""
    modules = dict.fromkeys(module for model in models for module in model.modules())
    return [module for module in modules if isinstance(module, DistributedDataParallel)]


def is_adapted(module: nn.Module) -> bool:
    """Whether PEFT has put an adapter (LoRA) around this module's ``base_layer``.

    Example:
        >>> is_adapted(nn.Linear(2, 2))
        False
    """
    kinds = (kind for kind in type(module).__mro__ if kind.__module__.startswith("peft."))
    return any(kind.__name__ == "BaseTunerLayer" for kind in kinds)


def canonical_name(name: str) -> str:
    """A parameter's or module's name without the parts that ``torch.compile`` adds."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def hookable_modules(
    model: nn.Module, running: nn.Module | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """The modules inside a model that take hooks now, by their canonical names.

    Scripted ones never do, and torch fails where the hooks of what is `running` change.
    """
    for name, module in model.named_modules():
        if name and module is not running and not isinstance(module, torch.jit.ScriptModule):
            yield canonical_name(name), module


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """A model's modules by their canonical names."""
    return {canonical_name(name): module for name, module in model.named_modules()}


def torch_optimizer(optimizer: object) -> object:
    """The torch optimizer that moves the weights, inside whatever is put around it.

    Accelerate and Lightning keep it in ``.optimizer``; Lookahead and SAM in an attribute of their
    own. Its step hooks fire, theirs may not. What holds no optimizer is returned as it is.
    """
    seen, found, inner = {id(optimizer)}, optimizer, optimizer
    while True:
        wrapper = inner
        held = (getattr(wrapper, "optimizer", None), *getattr(wrapper, "__dict__", {}).values())
        inner = next((o for o in held if id(o) not in seen and _moves(o, wrapper)), None)
        if inner is None:
            return found
        seen.add(id(inner))
        if has_step_hooks(inner):  # else what is inside it may have them
            found = inner


def _moves(inner: object, wrapper: object) -> bool:
    """Whether `inner` is the optimizer that a wrapper wraps: it holds what the wrapper holds."""
    theirs = getattr(inner, "param_groups", None)
    if theirs is None or not hasattr(inner, "step"):
        return False
    groups = getattr(wrapper, "param_groups", None)
    return groups is None or _ids(groups) == _ids(theirs)


def _ids(groups: list[dict[str, list[object]]]) -> set[int]:
    return {id(parameter) for group in groups for parameter in group["params"]}


# A module that gathers and shards, with its name.
Sharded = tuple[str, nn.Module]


def sharded_modules(model: nn.Module) -> tuple[Sharded, ...]:
    """The modules that ``fully_shard`` was called with, the outer ones first."""
    # Not before FSDP is imported, which takes a second.
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    if kind is None:
        return ()
    found = model.named_modules()
    return tuple((name, module) for name, module in found if isinstance(module, kind))


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is but this rank's part of one."""
    return hasattr(tensor, "full_tensor")


def reshard(modules: Sequence[Sharded]) -> None:
    """Let modules that a forward pass without a backward pass left whole hold their shards."""
    for _, module in modules:
        any_module: Any = module
        any_module.reshard()


def settle_precision(modules: Sequence[Sharded]) -> None:
    """Let FSDP2 decide on its types while everything that trains still says so.

    It does so in the first forward pass, and forgets the precision of what is frozen then
    (pytorch#186998): a run that is resumed in a drop epoch would begin with such a pass.
    """
    inside: set[int] = set()
    for _, module in modules:
        if id(module) not in inside:
            inside |= {id(inner) for inner in module.modules()}
            settle_sharded(module)


def whole_parameters(name: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The whole parameters that a sharded module holds at the end of its forward pass."""
    prefix = f"{name}." if name else ""
    for own, parameter in module.named_parameters():
        if not is_sharded(parameter):
            yield canonical_name(prefix + own), parameter
