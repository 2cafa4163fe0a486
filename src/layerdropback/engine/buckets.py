"""What DDP holds of blocks that rest."""

import warnings

from ..errors import explain
from ..interop.wrappers import data_parallels
from ..strategies import Strategy
from .target import Target


def warn_of_buckets(target: Target, strategy: Strategy) -> None:
    """Say that DDP saves less, where blocks take turns to save memory."""
    if strategy.resting is None or not data_parallels(target.model, *target.adopted):
        return
    fact = "gradients of blocks that rest are not saved under DistributedDataParallel"
    cause = "its buckets hold a gradient for every parameter from the start"
    cure = "use fully_shard (FSDP2), or ignore this: states and activations are saved all the same"
    warnings.warn(explain(fact, cause, cure), stacklevel=5)
