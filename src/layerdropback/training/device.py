"""The device of a run, and what of the machine is one process's."""

import os

import torch

from ..errors import UsageError, explain
from .workers import Workers


def find_device(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        UsageError: it is not there.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        fact, cause = "--device cuda is not usable", "torch sees no GPU"
        raise UsageError(explain(fact, cause, "use --device cpu"))
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def readers(workers: Workers) -> int:
    """Processes that read images for this one: as many as it has cores, with others beside it."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, cores // workers.local_count)
