"""What a number depends on beside its settings: versions and hardware."""

import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from .. import __version__


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
            "timm": timm.__version__,
            "numpy": np.__version__,
        },
        "hardware": {
            "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
            "threads": torch.get_num_threads(),
        },
    }


def _commit() -> str | None:
    """Of the checkout that this is run from; None where it is installed elsewhere."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
