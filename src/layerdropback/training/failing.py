"""Errors that are not the program's fault, in words for the user."""

import warnings

from ..errors import UsageError, WorkerError, explain
from ..runs.memory import is_out_of_memory
from .config import TrainConfig
from .workers import Workers

# What gloo and NCCL say when one of the workers has gone.
_LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "timed out")


def explained(
    error: BaseException, config: TrainConfig, workers: Workers, epoch: int
) -> UsageError | None:
    """An error of torch's for the user; None for one that should be seen as it is.

    Args:
        error: that came while training.
        config: of the run.
        workers: that train together.
        epoch: counted from 1.

    Example:
        >>> from .workers import ALONE
        >>> full = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        >>> print(str(explained(full, TrainConfig(), ALONE, 1)).partition(".")[0])
        out of memory in epoch 1
        >>> explained(RuntimeError("a bug"), TrainConfig(), ALONE, 1) is None
        True
    """
    if is_out_of_memory(error):
        fact = f"out of memory in epoch {epoch}"
        cause = f"a step on {config.batch_size} images needs more than there is"
        cure = f"begin anew with --accumulate {2 * config.accumulate}"
        cure += ", or a smaller --batch-size or --image-size"
        return WorkerError(explain(fact, cause, cure))
    if workers.count > 1 and any(word in str(error).lower() for word in _LOST):
        fact = f"rank {workers.rank} has lost another worker in epoch {epoch}"
        reason = str(error).partition("\n")[0].rstrip(".")
        cure = "look at what that one said; --resume goes on from the last checkpoint, which "
        cure += "torchrun --max-restarts does by itself"
        return WorkerError(explain(fact, reason, cure))
    return None


def not_saved(error: OSError, steps: int, stopped: bool) -> None:
    """Tell of a checkpoint that could not be written, where the disk is full, say.

    Args:
        error: of the system.
        steps: that are done.
        stopped: whether the run ends here; training goes on otherwise.

    Raises:
        UsageError: the run ends, and what was done since the last checkpoint is lost.
    """
    fact = f"no checkpoint could be saved after {steps} steps"
    reason = error.strerror or str(error)
    if stopped:
        cure = "make room; --resume goes on from the last good one"
        raise UsageError(explain(f"stopped, but {fact}", reason, cure)) from None
    cure = "make room: training goes on, the last good one stays"
    warnings.warn(explain(fact, reason, cure), stacklevel=3)
