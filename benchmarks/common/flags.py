"""Flags that several benchmarks have."""

import argparse
from pathlib import Path
from typing import Any

import torch

from layerdropback.runs.allocator import keep_freed_memory


def out(parser: argparse.ArgumentParser) -> None:
    """Where the card goes."""
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")


def device(parser: argparse.ArgumentParser) -> None:
    """Where it is measured: a GPU, if there is one."""
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def threads(parser: argparse.ArgumentParser) -> None:
    """Torch's threads; see `set_up_machine`."""
    parser.add_argument("--threads", type=int)


def set_up_machine(args: argparse.Namespace) -> None:
    """Give torch the threads that were asked for, if any were; and keep memory that was freed."""
    keep_freed_memory(torch.device(getattr(args, "device", "cpu")))
    if args.threads is not None:
        torch.set_num_threads(args.threads)


def plan_of(args: argparse.Namespace) -> dict[str, Any]:
    """The flags that say what is measured, for workers and records."""
    return {name: value for name, value in vars(args).items() if name not in ("out", "command")}
