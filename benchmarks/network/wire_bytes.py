"""Bytes on the wire of drop steps and of full steps: DDP and FSDP2, two workers.

    python -m benchmarks wire-bytes --out benchmarks/results/NAME

Counted by the code (DDP: by the library; FSDP2: by torch's CommDebugMode), and from outside by the
network device between two network namespaces, TCP's headers included; without the right to make
these (see `link`) the workers talk over the loopback device and only the first is told. Writes a
card.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from ..common.card_files import write
from ..common.facts import facts_of
from ..common.flags import out, plan_of
from .link import DEVICE, Unavailable, joined, run_workers
from .wire_bytes_card import card_of

# Fast, but with a queue: without one, packets overtake each other and some are sent again.
LINK = "1gbit"


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)
    parser.add_argument("--steps", type=int, default=20, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=10, help="of either kind")
    parser.add_argument("--depth", type=int, default=16, help="blocks of the model")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4, help="images of each worker")


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """What the workers counted, and why they did not from outside, if they did not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(plan_of(args)))
        worker = ("-m", "benchmarks.network.wire_bytes_worker")
        reason = ""
        try:
            with joined(LINK) as ends:
                run_workers(worker, folder, ends, {"GLOO_SOCKET_IFNAME": DEVICE})
        except Unavailable as why:
            reason = str(why)
            run_workers(worker, folder, [[], []], {"GLOO_SOCKET_IFNAME": "lo"})
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
        return found, reason


def run(args: argparse.Namespace) -> None:
    """Have it counted, and write the card."""
    facts = facts_of()
    found, reason = measure(args)
    card = card_of(args, found, reason, facts)
    record = {"command": args.command, **facts, "plan": plan_of(args), **found}
    write(args.out, card, record)
    print(card)
