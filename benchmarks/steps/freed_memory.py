"""What a step takes where the C library keeps freed memory, and where it gives it back.

Processes of either kind take turns; in each, plain training and the preset do.

    python -m benchmarks freed-memory --out benchmarks/results/NAME
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layerdropback.lab.tables import markdown_table

from ..common.card_files import page, write
from ..common.facts import sentence
from ..common.flags import out
from ..common.timing import rotated
from .freed_memory_worker import ARMS, BATCH, SUBJECTS

KINDS = ("given back", "kept")
HEAD = (
    "network",
    "page faults of a step, plain",
    "of the preset",
    "plain step, kept to given back",
    "preset's step, the same",
    "preset to plain, given back",
    "preset to plain, kept",
    "peak memory, kept to given back",
    "n",
)


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)
    parser.add_argument("--processes", type=int, default=4, help="of either kind")
    parser.add_argument("--rounds", type=int, default=4, help="blocks of steps of each arm")
    parser.add_argument("--steps", type=int, default=10, help="of a block")
    names = list(SUBJECTS)
    parser.add_argument("--networks", nargs="+", choices=names, default=names)


def process(name: str, kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """What one found; its environment has no settings for the C library's memory."""
    worker = ["-m", "benchmarks.steps.freed_memory_worker"]
    command = [sys.executable, *worker, name, kind, str(args.rounds), str(args.steps)]
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_TUN"))}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=clean, cwd=root, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seconds(found: dict[str, Any], arm: str) -> float:
    """Of a step, the median over blocks."""
    return statistics.median(block[arm]["seconds"] for block in found["blocks"])


def share(found: dict[str, Any]) -> float:
    """The preset's time of plain training's, the median over neighbours."""
    blocks = found["blocks"]
    return statistics.median(b["preset"]["seconds"] / b["plain"]["seconds"] for b in blocks)


def span(values: Sequence[float], form: str = ".3f") -> str:
    """Median with the least and the most.

    Example:
        >>> span([1, 3, 2], ".1f")
        '2.0 [1.0, 3.0]'
    """
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def row(name: str, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A row of `HEAD`."""
    back, kept = (found[kind] for kind in KINDS)
    pairs = list(zip(kept, back, strict=True))

    def faults(of: list[dict[str, Any]], arm: str) -> str:
        return span([block[arm]["faults"] for one in of for block in one["blocks"]], ",.0f")

    return [
        name,
        *(f"{faults(back, arm)} / {faults(kept, arm)}" for arm in ARMS),
        *(span([seconds(k, arm) / seconds(b, arm) for k, b in pairs]) for arm in ARMS),
        span([share(one) for one in back]),
        span([share(one) for one in kept]),
        span([k["peak_mib"] / b["peak_mib"] for k, b in pairs]),
        str(len(pairs)),
    ]


def card_of(args: argparse.Namespace, results: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """The text, of what is measured so far."""
    facts = next(iter(results.values()))["given back"][0]["facts"]
    return page(
        "Freed memory, kept or given back",
        args.command,
        f"{sentence(facts)} AdamW, batch {BATCH}, random weights and inputs; the preset is "
        "`finetune`: the lower half of the backward pass is left out in every step.",
        "*Given back*: as glibc has it by default, some of what tensors free goes back to the "
        "system, and is found and cleared again, page by page. *Kept*: as `ldb train`, "
        f"`compare`, `sweep` and `profile` have it. {args.processes} processes of each kind took "
        f"turns; in each, blocks of {args.steps} steps of plain training and of the preset. Page "
        "faults given back / kept, over blocks; times are medians of a process, and pairs of "
        "processes that were neighbours. Medians with the least and the most.",
        markdown_table(HEAD, [row(name, found) for name, found in results.items()]),
    )


def run(args: argparse.Namespace) -> None:
    """Measure network by network; the card is written after each."""
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    card = ""
    for name in args.networks:
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for number in range(args.processes):
            for kind in rotated(KINDS, number):
                found[kind].append(process(name, kind, args))
        results[name] = found
        card = card_of(args, results)
        write(args.out, card, {"command": args.command, "results": results})
    print(card)
