"""``torch.compile`` block by block: two graphs per kind of block serve every mask."""

from torch import nn

from ..layers import find_layers


def compile_blocks(model: nn.Module) -> int:
    """Compile each repeated block of a model in place; names and weights stay as they are.

    Returns:
        The number of blocks.

    Example:
        >>> kind = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        >>> compile_blocks(nn.Sequential(kind(), kind(), nn.Linear(4, 2)))
        2
    """
    names = {name for layer in find_layers(model, "block") for name in layer.name.split("+")}
    modules = dict(model.named_modules())
    # What lies outside blocks is single modules, not worth a graph of their own.
    blocks = [modules[name] for name in names if name in modules and any(modules[name].children())]
    for block in blocks:
        block.compile()
    return len(blocks)
