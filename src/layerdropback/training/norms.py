"""BatchNorm layers in evaluation mode while a network trains, so that their statistics stay."""

from torch import nn

from ..controller import LayerDropBack

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """A model's BatchNorm layers, timm's with an activation in them among these.

    Example:
        >>> len(batch_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
        1
    """
    return [module for module in model.modules() if isinstance(module, _KINDS)]


def rest_norms(model: nn.Module, which: str, ldb: LayerDropBack) -> None:
    """Put BatchNorm layers into the modes that they have in the step that comes.

    Args:
        model: in training mode.
        which: ``"no"``; ``"all"``; ``"dropped"``: those that the step drops, which are all below a
            cut that is fixed.
        ldb: knows the step's mask.
    """
    if which == "no":
        return
    mask = ldb.mask if which == "dropped" else None
    indices = () if mask is None else mask.nonzero()[0]
    dropped = {id(p) for i in indices for p in ldb.layers[i].parameters}
    for norm in batch_norms(model):
        norm.train(which == "dropped" and not any(id(p) in dropped for p in norm.parameters()))
