"""The C library's memory: on a CPU what tensors free is kept for the next step.

By default glibc gives a large part of it back to the system, which has to find and to clear it
again: in some steps and not in others, depending on what was freed before, and the more of it the
more a step holds. So plain training's steps took up to a tenth longer than they had to, and not
always the same time.
"""

import ctypes
import functools
import os
import platform

import torch

# Of <malloc.h>: how much free memory is given back, and how many blocks are mapped by themselves.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4

_ALL = 2**31 - 1  # mallopt() takes an int


def keep_freed_memory(device: torch.device) -> None:
    """Let this process keep memory that was freed, if that is where it trains.

    Not where the C library is another one than glibc, nor where the environment has settings for
    glibc's memory, which are left as they are.

    Args:
        device: where it trains; a GPU's memory is torch's own to keep.
    """
    if device.type == "cpu":
        _keep()


def freed_memory_is_kept() -> bool:
    """Whether `keep_freed_memory` did so.

    Example:
        >>> freed_memory_is_kept() in (True, False)
        True
    """
    return _keep.cache_info().currsize > 0 and _keep()


@functools.cache
def _keep() -> bool:
    if platform.libc_ver()[0] != "glibc" or _is_set_already():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _ALL) and mallopt(_MMAP_MAX, 0))


def _is_set_already() -> bool:
    tunables = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    return tunables or any(name.startswith("MALLOC_") for name in os.environ)
