"""``torch.compile`` block by block: two graphs per kind of block serve every mask."""

import torch._dynamo.config as limits
from torch import nn

from ..model.layers import find_layers

# Graphs that one block may need: trained or dropped, its input with a gradient or without, and
# evaluation, each for at most two batch sizes.
_GRAPHS = 10


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """Those that ``unit="block"`` drops as one, in the order of registration.

    What lies outside of them is single modules, not worth a graph or a shard group of its own.

    Example:
        >>> kind = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        >>> len(repeated_blocks(nn.Sequential(kind(), kind(), nn.Linear(4, 2))))
        2
    """
    names = [name for layer in find_layers(model, "block") for name in layer.name.split("+")]
    modules = dict(model.named_modules())
    known = [modules[name] for name in dict.fromkeys(names) if name in modules]
    return [module for module in known if any(module.children())]


def compile_blocks(model: nn.Module) -> int:
    """Compile each repeated block of a model in place; names and weights stay as they are.

    All blocks share one entry in torch's cache of graphs, so its limit is raised, for the whole
    process, to what so many blocks may need; at the limit torch would run them uncompiled.

    Returns:
        The number of blocks.

    Example:
        >>> kind = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        >>> compile_blocks(nn.Sequential(kind(), kind(), nn.Linear(4, 2)))
        2
    """
    blocks = repeated_blocks(model)
    for name in ("recompile_limit", "cache_size_limit"):  # before torch 2.7 it is the second
        if hasattr(limits, name):
            setattr(limits, name, max(getattr(limits, name), _GRAPHS * len(blocks)))
            break
    for block in blocks:
        block.compile()
    return len(blocks)
