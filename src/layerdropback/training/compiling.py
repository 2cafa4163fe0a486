"""``torch.compile`` block by block: two graphs per kind of block serve every mask."""

import torch._dynamo.config as limits
from torch import nn

from .blocks import repeated_blocks

# Graphs that one block may need: trained or dropped, its input with a gradient or without, and
# evaluation, each for at most two batch sizes.
_GRAPHS = 10


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
