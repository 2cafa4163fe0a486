"""The card of `slow_link`: what is made of what its workers measured."""

import argparse
from collections.abc import Mapping
from typing import Any

from layerdropback.lab.tables import markdown_table

from ..common.card_files import page
from ..common.facts import Facts, sentence
from .slow_link_arms import PER_TURN, arms_of, told
from .slow_link_rows import (
    BELOW,
    accuracy_rows,
    measured,
    neighbour_rows,
    run_rows,
    step_rows,
    target_of,
    verdicts,
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
NEIGHBOURS = ("arm", "against", "points", "of its time")
RUNS = ("arm", "seed", "time, s", "accuracy by tenth of the run, %")


def task_told(args: argparse.Namespace, found: Mapping[str, Any]) -> str:
    """What is trained on what."""
    size = (
        f"Two convolutions and {args.blocks} residual linear blocks of width "
        f"{args.width}: {found['numbers']:,} parameters, "
        f"{4 * found['numbers'] / 2**20:.2f} MiB of gradients. "
    )
    if found["before"] is not None:
        size += (
            f"The weights, but for the head's, are those of {args.before_epochs} epochs on "
            f"the other half of the classes ({found['before']:.1f} % of their test images right). "
        )
    return size + (
        f"{args.data}, {args.train:,} training images, batches of {args.batch} "
        f"(both workers together), {args.epochs} epochs; SGD with Nesterov momentum 0.9 and "
        "weight decay 5e-4, the learning rate rising for 5 % of the steps and then falling to zero "
        "as a cosine; no augmentation."
    )


def machine_told(args: argparse.Namespace, found: Mapping[str, Any], facts: Facts) -> str:
    """Where it was measured, and the link."""
    return (
        f"{sentence(facts, '2 processes of one thread', 'gloo')} Two network namespaces joined by "
        f"a veth pair, `tbf rate {args.rate}` at both ends; a big all-reduce got "
        f"{found['rate']:.0f} Mbit/s."
    )


def tuning_told(args: argparse.Namespace, found: Mapping[str, Any]) -> str:
    """How the learning rates were chosen."""
    rates = sorted({trial["lr"] for trial in found["trials"]})
    return (
        "Learning rates were tuned for each arm, plain training included, on "
        f"{args.held:,} training images held out, {args.tune_seeds} runs of each "
        "rate with seeds of their own, without the link (the steps are the same); tried were "
        f"{', '.join(f'{rate:g}' for rate in rates)}, the outer ones where an arm's best "
        "was at the edge."
    )


def card_of(args: argparse.Namespace, found: Mapping[str, Any], facts: Facts) -> str:
    """The text."""
    tuning = ", fine-tuning" if args.task == "tune" else ""
    least = 100 / args.test  # one image
    arms = arms_of(args.task)
    results, target = measured(found, arms), target_of(found)
    return page(
        f"Two workers with {args.rate}/s between them{tuning}",
        args.command,
        machine_told(args, found, facts),
        task_told(args, found),
        "## What was gained",
        "\n".join(verdicts(arms, results, least)),
        f"n = {args.seeds} seeds; 95 % t intervals, paired by seed; accuracies within "
        "0.5 point are equal.",
        "## Time of a step",
        "Wall clock of forward, backward with its communication, optimizer and zero_grad; "
        f"the arms took turns, {PER_TURN} steps of a kind at a time, and the first turn is "
        "left out. Plain training is DDP as it comes, without find_unused_parameters.",
        markdown_table(STEPS, step_rows(found, arms, args.batch)),
        "## Time to equal accuracy",
        f"Tested on {args.test:,} images after each tenth of a run, with the clock "
        f"stopped; the target is plain training's mean final accuracy less {BELOW:g} point: "
        f"{target:.2f} %. Plain training that is given a time (`@`, and a shorter one) ran "
        "after the methods, whose times are then known.",
        markdown_table(ACCURACY, accuracy_rows(found, arms, results, target, least)),
        tuning_told(args, found),
        "## Against what else sends less",
        markdown_table(NEIGHBOURS, neighbour_rows(arms, results, least)),
        "## The arms",
        "\n".join(told(arm) for arm in arms.every),
        "## Every run",
        markdown_table(RUNS, run_rows(found)),
    )
