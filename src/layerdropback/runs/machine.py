"""The machine: its device, its memory, and the versions and hardware that numbers depend on."""

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import UsageError, explain
from .allocator import freed_memory_is_kept

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


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


def command_line() -> str:
    """What started this process: a command of ldb, or a program that uses the library.

    Example:
        >>> from unittest import mock
        >>> with mock.patch("sys.argv", ["/usr/bin/ldb", "train", "--out", "my run"]):
        ...     command_line()
        "ldb train --out 'my run'"
        >>> with mock.patch.multiple("sys", argv=["a.py"], orig_argv=["python3", "a.py", "7"]):
        ...     command_line()
        'python a.py 7'
    """
    program = Path(sys.argv[0])
    if program.stem == "ldb" or program.parent.name == "layerdropback":
        return shlex.join(["ldb", *sys.argv[1:]])
    return shlex.join(["python", *sys.orig_argv[1:]])


def machine(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, in plain values.

    Example:
        >>> sorted(machine(torch.device("cpu")))
        ['hardware', 'versions']
    """
    commit = _commit()
    on_gpu = device.type == "cuda"
    return {
        "versions": {
            "layerdropback": __version__,
            **({} if commit is None else {"commit": commit}),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "timm": metadata.version("timm"),
            "numpy": np.__version__,
        },
        "hardware": {
            "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
            "threads": torch.get_num_threads(),
        },
    }


def measured_on(device: torch.device) -> dict[str, Any]:
    """The same, with what times depend on, and results do not.

    Example:
        >>> "device" in measured_on(torch.device("cpu"))["hardware"]
        True
    """
    facts = machine(device)
    if freed_memory_is_kept():
        facts["hardware"]["freed_memory"] = "kept"
    return facts


def _commit() -> str | None:
    """Of the checkout that this is run from; None where it is installed elsewhere, or not known."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "describe", "--always")
    # A measurement that has written its card measures the same code afterwards.
    changed = _git(root, "diff", "--name-only", "HEAD", "--", ".", ":!benchmarks/results")
    if commit is None or changed is None:
        return None
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or takes long."""
    command = ["git", "-C", str(root), *arguments]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
