"""Models that ``fully_shard`` (FSDP2) has sharded, and what is different about them.

Between passes their parameters are shards (``DTensor``), which the optimizer and LayerDropBack
hold. A module's forward pass uses whole tensors instead, and these are what autograd sees.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from .private import settle_sharded
from .wrappers import canonical_name

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
