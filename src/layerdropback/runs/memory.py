"""How much memory a run takes, and whether it was too much."""

import sys

import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on a GPU or in the system.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
        True
    """
    text = str(error).lower()
    words = ("out of memory", "allocate memory", "alloc_failed")  # the last one is cuBLAS's
    too_much = any(word in text for word in words)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and too_much)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to look for a peak; in the system's memory it is the whole process's, ever."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float | None:
    """MiB of the peak: of tensors on a GPU since the reset, or of the process on the CPU.

    Returns:
        None where the system does not tell.

    Example:
        >>> peak_memory(torch.device("cpu")) > 1
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
