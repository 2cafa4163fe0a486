"""The repeated blocks of a model, which are compiled or sharded one by one."""

from torch import nn

from ..model.layers import find_layers


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
