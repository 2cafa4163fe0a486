"""The card of `slow_link.py`: what is made of what its workers measured."""

import argparse
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from card import write as write_card
from slow_link_arms import NEIGHBOURS, Arms, arms_of, told
from slow_link_worker import PER_TURN

from layerdropback.lab.front import Measured
from layerdropback.lab.statistics import interval
from layerdropback.lab.tables import markdown_table
from layerdropback.lab.verdict import Compared, judge

# Points below plain training's final accuracy that are to be reached.
BELOW = 0.5


def quartiles(values: Sequence[float]) -> str:
    """Median with the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}], n = {len(values)}"


def step_rows(found: Mapping[str, Any], arms: Arms, batch: int) -> list[list[str]]:
    full = statistics.median(found["times"]["plain"]["full"])
    rows = []
    for arm in arms.own:
        for kind, seconds in found["times"].get(arm.name, {}).items():
            if not seconds:
                continue
            kib = statistics.fmean(found["sent"][arm.name][kind]) / 1024
            # By means: a drop step's time hangs on its mask.
            per_image = statistics.fmean(seconds) / (batch * arm.batch)
            rows.append(
                [
                    arm.name,
                    kind if arm.dropping else "",
                    f"{round(batch * arm.batch)}",
                    f"{kib:.0f}",
                    quartiles([1000 * value for value in seconds]),
                    f"{statistics.median(seconds) / full:.2f}",
                    f"{1000 * statistics.fmean(seconds):.1f}",
                    f"{1000 * per_image:.2f}",
                ]
            )
    return rows


def measured(found: Mapping[str, Any], arms: Arms) -> dict[str, Measured]:
    """Final accuracy and wall time of each arm, by seed."""
    result = {}
    for arm in arms.every:
        runs = sorted(
            (run for run in found["runs"] if run["arm"] == arm.name), key=lambda run: run["seed"]
        )
        last = [run["looks"][-1] for run in runs]
        result[arm.name] = Measured([e["accuracy"] for e in last], [e["seconds"] for e in last])
    return result


def seconds_to(found: Mapping[str, Any], arm: str, target: float) -> list[float]:
    """Of each run that gets there: its time when that was first seen."""
    times = []
    for run in found["runs"]:
        reached = [e["seconds"] for e in run["looks"] if e["accuracy"] >= target]
        if run["arm"] == arm and reached:
            times.append(reached[0])
    return times


def accuracy_rows(
    found: Mapping[str, Any],
    arms: Arms,
    results: Mapping[str, Measured],
    target: float,
    least: float,
) -> list[list[str]]:
    plain = results["plain"]
    rows = []
    for arm in arms.every:
        mine = results[arm.name]
        compared = None if arm.name == "plain" else Compared.between(mine, plain, least)
        got = seconds_to(found, arm.name, target)
        reached = "never"
        if got:
            reached = f"{statistics.median(got):.1f} ({len(got)} of {len(mine.seconds)})"
        rows.append(
            [
                arm.name,
                f"{found['steps'][arm.name]}",
                f"{found['tuned'][arm.name]:g}",
                interval(mine.accuracy, least).as_text(".2f"),
                "" if compared is None else compared.accuracy.as_text("+.2f"),
                f"{statistics.fmean(mine.seconds):.1f}",
                "1" if compared is None else compared.time.as_text(".2f"),
                reached,
            ]
        )
    return rows


def verdicts(arms: Arms, results: Mapping[str, Measured], least: float) -> list[str]:
    """Each method against plain training of the same time; compressed against compressed."""
    lines = []
    for fp16 in (False, True):
        methods = [arm for arm in arms.methods if arm.fp16 == fp16]
        plain = results[methods[0].plain]
        pairs = {m.name: (results[m.name], results[f"{m.plain}@{m.name}"]) for m in methods}
        front = [plain, *(results[arm.name] for arm in arms.given if arm.fp16 == fp16)]
        found = judge(plain, pairs, front, least_spread=least)
        said = " (plain training is plain-fp16 here)" if fp16 else ""
        lines += [f"- {arm}{said}: {verdict.text}" for arm, verdict in found.items()]
    return lines


def neighbour_rows(arms: Arms, results: Mapping[str, Measured], least: float) -> list[list[str]]:
    rows = []
    for method in arms.methods:
        for other in NEIGHBOURS:
            found = Compared.between(results[method.name], results[other.name], least)
            points, time = found.accuracy.as_text("+.2f"), found.time.as_text(".2f")
            rows.append([method.name, other.name, points, time])
    return rows


def task_told(arguments: argparse.Namespace, found: Mapping[str, Any]) -> str:
    """What is trained on what."""
    size = (
        f"Two convolutions and {arguments.blocks} residual linear blocks of width "
        f"{arguments.width}: {found['numbers']:,} parameters, "
        f"{4 * found['numbers'] / 2**20:.2f} MiB of gradients. "
    )
    if found["before"] is not None:
        size += (
            f"The weights, but for the head's, are those of {arguments.before_epochs} epochs on "
            f"the other half of the classes ({found['before']:.1f} % of their test images right). "
        )
    return size + (
        f"{arguments.data}, {arguments.train:,} training images, batches of {arguments.batch} "
        f"(both workers together), {arguments.epochs} epochs; SGD with Nesterov momentum 0.9 and "
        "weight decay 5e-4, the learning rate rising for 5 % of the steps and then falling to zero "
        "as a cosine; no augmentation."
    )


STEPS = (
    "arm",
    "step",
    "images",
    "gradients sent, KiB, mean",
    "ms: median [quartiles]",
    "of plain's",
    "ms, mean",
    "ms per image",
)
ACCURACY = (
    "arm",
    "steps",
    "lr",
    "final accuracy, %",
    "to plain, points",
    "time, s",
    "of plain's",
    "s to target, median (runs)",
)


def write(arguments: argparse.Namespace, found: dict[str, Any], facts: dict[str, Any]) -> None:
    hardware, versions = facts["hardware"], facts["versions"]
    command = shlex.join(["python", *sys.argv])
    tuning = ", fine-tuning" if arguments.task == "tune" else ""
    least = 100 / arguments.test  # one image
    arms = arms_of(arguments.task)
    results = measured(found, arms)
    target = statistics.fmean(results["plain"].accuracy) - BELOW
    plan = {k: v if k != "out" else str(v) for k, v in vars(arguments).items()}
    numbers = {"command": command, **facts, "plan": plan, "target": target, **found}
    runs = [
        [
            run["arm"],
            str(run["seed"]),
            f"{run['looks'][-1]['seconds']:.2f}",
            ", ".join(f"{look['accuracy']:.1f}" for look in run["looks"]),
        ]
        for run in sorted(found["runs"], key=lambda run: (run["arm"], run["seed"]))
    ]
    rates = sorted({trial["lr"] for trial in found["trials"]})
    card = "\n".join(
        [
            f"# Two workers with {arguments.rate}/s between them{tuning}, {date.today()}",
            "",
            f"Command: `{command}`",
            "",
            f"{hardware['device']}, 2 processes of one thread; torch {versions['torch']}, gloo, "
            f"layerdropback {versions['layerdropback']}, commit "
            f"{versions.get('commit', 'unknown')}. Two network namespaces joined by a veth pair, "
            f"`tbf rate {arguments.rate}` at both ends; a big all-reduce got "
            f"{found['rate']:.0f} Mbit/s.",
            "",
            task_told(arguments, found),
            "",
            "## What was gained",
            "",
            *verdicts(arms, results, least),
            "",
            f"n = {arguments.seeds} seeds; 95 % t intervals, paired by seed; accuracies within "
            "0.5 point are equal.",
            "",
            "## Time of a step",
            "",
            "Wall clock of forward, backward with its communication, optimizer and zero_grad; "
            f"the arms took turns, {PER_TURN} steps of a kind at a time, and the first turn is "
            "left out. Plain training is DDP as it comes, without find_unused_parameters.",
            "",
            markdown_table(STEPS, step_rows(found, arms, arguments.batch)),
            "",
            "## Time to equal accuracy",
            "",
            f"Tested on {arguments.test:,} images after each tenth of a run, with the clock "
            f"stopped; the target is plain training's mean final accuracy less {BELOW:g} point: "
            f"{target:.2f} %. Plain training that is given a time (`@`, and a shorter one) ran "
            "after the methods, whose times are then known.",
            "",
            markdown_table(ACCURACY, accuracy_rows(found, arms, results, target, least)),
            "",
            "Learning rates were tuned for each arm, plain training included, on "
            f"{arguments.held:,} training images held out, {arguments.tune_seeds} runs of each "
            "rate with seeds of their own, without the link (the steps are the same); tried were "
            f"{', '.join(f'{rate:g}' for rate in rates)}, the outer ones where an arm's best "
            "was at the edge.",
            "",
            "## Against what else sends less",
            "",
            markdown_table(
                ("arm", "against", "points", "of its time"), neighbour_rows(arms, results, least)
            ),
            "",
            "## The arms",
            "",
            *(told(arm) for arm in arms.every),
            "",
            "## Every run",
            "",
            markdown_table(("arm", "seed", "time, s", "accuracy by tenth of the run, %"), runs),
            "",
        ]
    )
    write_card(arguments.out, card, numbers, main=1)
    print(card)
