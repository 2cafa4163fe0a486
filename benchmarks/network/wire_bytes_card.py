"""The card of `wire_bytes`."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from layerdropback.lab.statistics import interval
from layerdropback.lab.tables import markdown_table

from ..common.card_files import page
from ..common.facts import Facts, sentence

RATE = 0.5
# At most this share of a full step's gradients may a drop step send at that rate.
BOUND = 0.55


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


def outside_told(args: argparse.Namespace, found: Mapping[str, Any], reason: str) -> str:
    """What the network device counted, or why it did not."""
    if reason:
        return f"Not counted: {reason}."
    return (
        "What the first worker's end of a veth pair between two network namespaces had sent "
        "(`tx_bytes`), the headers of TCP and Ethernet included, and what DDP sends beside "
        "gradients: which parameters were used. Of two gloo workers each sends all bytes of "
        "an all-reduce, and half of those of a gather; gloo makes an all-reduce of a "
        "reduce-scatter, and sends all of its bytes, too.\n\n"
    ) + markdown_table(OUTSIDE, outside_rows(found, args.steps))


def card_of(args: argparse.Namespace, found: Mapping[str, Any], reason: str, facts: Facts) -> str:
    """The text."""
    return page(
        f"Bytes on the wire at rate {RATE:g}",
        args.command,
        sentence(facts, "2 processes of one thread", "gloo"),
        f"A vision transformer of {args.depth} blocks of width {args.width}: "
        f"{found['numbers']:,} parameters in {found['tensors']} tensors, "
        f"{found['head']:,} of them ({100 * found['head'] / found['numbers']:.2f} %) in the "
        "head, which is always kept. Full and drop epochs took turns, "
        f"{args.steps} steps each; means over n steps of either kind, with the 95 % t "
        "interval of the masks' spread. Bytes of one worker; both send the same.",
        "## Gradients, counted by the code",
        "What is given to all-reduce (DDP, with `register_comm_hook()`: `ldb.stats()"
        '["gradient_bytes"]`) or to reduce-scatter (FSDP2, `fully_shard` per block, the rest '
        "in the root's group: seen by torch's `CommDebugMode`).",
        markdown_table(GRADIENTS, gradient_rows(found)),
        "## FSDP2, weights included",
        "Weights are gathered for the forward pass, and again for the backward pass of what "
        "it reaches, dropped or not.",
        markdown_table(TOTAL, total_rows(found)),
        "## From outside",
        outside_told(args, found, reason),
    )
