"""Bytes on the wire of drop steps and of full steps: DDP and FSDP2, two workers.

    python benchmarks/wire_bytes.py --out benchmarks/results/NAME

Counted by the code (DDP: by the library; FSDP2: by torch's CommDebugMode), and from outside by the
network device between two network namespaces, TCP's headers included; without the right to make
these (see `link.py`) the workers talk over the loopback device and only the first is told. Writes a
card (see `card.py`).
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from card import write as write_card
from link import DEVICE, Unavailable, joined, run_workers

from layerdropback.lab.statistics import interval
from layerdropback.lab.tables import markdown_table
from layerdropback.runs.machine import machine

RATE = 0.5
# Fast, but with a queue: without one, packets overtake each other and some are sent again.
LINK = "1gbit"
# At most this share of a full step's gradients may a drop step send at that rate.
BOUND = 0.55


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=10, help="of either kind")
    parser.add_argument("--depth", type=int, default=16, help="blocks of the model")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4, help="images of each worker")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """What the workers counted, and why they did not from outside, if they did not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = {k: v for k, v in vars(arguments).items() if k != "out"}
        (folder / "plan.json").write_text(json.dumps(plan))
        worker = Path(__file__).with_name("wire_bytes_worker.py")
        reason = ""
        try:
            with joined(LINK) as ends:
                run_workers(worker, folder, ends, {"GLOO_SOCKET_IFNAME": DEVICE})
        except Unavailable as why:
            reason = str(why)
            run_workers(worker, folder, [[], []], {"GLOO_SOCKET_IFNAME": "lo"})
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
        return found, reason


# ---- what is made of it --------------------------------------------------------------------------


def ratio(drop: Sequence[float], full: Sequence[float]) -> str:
    """Mean over mean, with the interval of what the masks make of it."""
    mean = statistics.fmean(full)
    return interval([value / mean for value in drop]).as_text(".3f")


def of_steps(case: Mapping[str, Any], mode: str, *names: str) -> list[float]:
    return [sum(step[name] for name in names) for step in case[mode]]


def kib(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values) / 1024:.1f}"


def gradient_rows(found: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for case in found["cases"]:
        full, drop = (of_steps(case, mode, "gradients") for mode in ("full", "drop"))
        within = statistics.fmean(drop) <= BOUND * statistics.fmean(full)
        row = [case["wrapper"], case["strategy"], case["unit"], kib(full), kib(drop)]
        rows.append([*row, ratio(drop, full), "yes" if within else "no", str(len(drop))])
    return rows


def total_rows(found: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for case in found["cases"]:
        if case["wrapper"] != "FSDP2":
            continue
        gathered = [of_steps(case, mode, "gathered") for mode in ("full", "drop")]
        total = [of_steps(case, mode, "gradients", "gathered") for mode in ("full", "drop")]
        row = [case["strategy"], kib(gathered[0]), kib(gathered[1])]
        rows.append([*row, kib(total[0]), kib(total[1]), ratio(total[1], total[0])])
    return rows


def outside_rows(found: Mapping[str, Any], steps: int) -> list[list[str]]:
    rows = []
    for case in found["cases"]:
        per_epoch = case["outside"]
        full, drop = ([value / steps for value in per_epoch[mode]] for mode in ("full", "drop"))
        row = [case["wrapper"], case["strategy"], kib(full), kib(drop)]
        rows.append([*row, ratio(drop, full), f"{len(drop)} x {steps}"])
    return rows


GRADIENTS = (
    "workers",
    "strategy",
    "unit",
    "full step, KiB",
    "drop step, KiB",
    "drop / full",
    f"at most {BOUND:g}",
    "n",
)
TOTAL = (
    "strategy",
    "gathered, full, KiB",
    "drop, KiB",
    "gathered and scattered, full, KiB",
    "drop, KiB",
    "drop / full",
)
OUTSIDE = (
    "workers",
    "strategy",
    "full step, KiB",
    "drop step, KiB",
    "drop / full",
    "n epochs x steps",
)


def write(
    arguments: argparse.Namespace, found: dict[str, Any], reason: str, facts: dict[str, Any]
) -> None:
    hardware, versions = facts["hardware"], facts["versions"]
    command = shlex.join(["python", *sys.argv])
    outside = [f"Not counted: {reason}."]
    if not reason:
        outside = [
            "What the first worker's end of a veth pair between two network namespaces had sent "
            "(`tx_bytes`), the headers of TCP and Ethernet included, and what DDP sends beside "
            "gradients: which parameters were used. Of two gloo workers each sends all bytes of "
            "an all-reduce, and half of those of a gather; gloo makes an all-reduce of a "
            "reduce-scatter, and sends all of its bytes, too.",
            "",
            markdown_table(OUTSIDE, outside_rows(found, arguments.steps)),
        ]
    card = "\n".join(
        [
            f"# Bytes on the wire at rate {RATE:g}, {date.today()}",
            "",
            f"Command: `{command}`",
            "",
            f"{hardware['device']}, 2 processes of one thread; torch {versions['torch']}, gloo, "
            f"timm {versions['timm']}, layerdropback {versions['layerdropback']}, commit "
            f"{versions.get('commit', 'unknown')}.",
            "",
            f"A vision transformer of {arguments.depth} blocks of width {arguments.width}: "
            f"{found['numbers']:,} parameters in {found['tensors']} tensors, "
            f"{found['head']:,} of them ({100 * found['head'] / found['numbers']:.2f} %) in the "
            "head, which is always kept. Full and drop epochs took turns, "
            f"{arguments.steps} steps each; means over n steps of either kind, with the 95 % t "
            "interval of the masks' spread. Bytes of one worker; both send the same.",
            "",
            "## Gradients, counted by the code",
            "",
            "What is given to all-reduce (DDP, with `register_comm_hook()`: `ldb.stats()"
            '["gradient_bytes"]`) or to reduce-scatter (FSDP2, `fully_shard` per block, the rest '
            "in the root's group: seen by torch's `CommDebugMode`).",
            "",
            markdown_table(GRADIENTS, gradient_rows(found)),
            "",
            "## FSDP2, weights included",
            "",
            "Weights are gathered for the forward pass, and again for the backward pass of what "
            "it reaches, dropped or not.",
            "",
            markdown_table(TOTAL, total_rows(found)),
            "",
            "## From outside",
            "",
            *outside,
            "",
        ]
    )
    plan = {k: v if k != "out" else str(v) for k, v in vars(arguments).items()}
    numbers = {"command": command, **facts, "plan": plan, **found}
    write_card(arguments.out, card, numbers)
    print(card)


def main() -> None:
    arguments = parse()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring
    facts = machine(torch.device("cpu"))  # before: this is the code that is measured
    found, reason = measure(arguments)
    write(arguments, found, reason, facts)


if __name__ == "__main__":
    main()
