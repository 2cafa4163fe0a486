"""The device of a run."""

import torch

from ..errors import UsageError, explain


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
