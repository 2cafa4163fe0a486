"""Dropping where communication dominates: two workers, a link of 100 Mbit/s between them.

    python benchmarks/slow_link.py --data folder:data/cifar10 --out benchmarks/results/NAME

Plain training, LayerDropBack and what else sends less take turns: step times, and time to equal
accuracy with each arm's learning rate tuned on training images held out. It makes the link itself
(see `link.py`), and is skipped where it may not. Writes a card (Markdown) and its raw numbers
(JSON).
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
from link import DEVICE, Unavailable, joined, run_workers
from slow_link_worker import ARMS, METHODS, NEIGHBOURS, PER_TURN, TIMED, Arm
from torch import Tensor

from layerdropback.lab.front import Measured
from layerdropback.lab.statistics import interval
from layerdropback.lab.tables import markdown_table
from layerdropback.lab.verdict import Compared, judge
from layerdropback.training.images.choosing import stratified
from layerdropback.training.images.data import Split, load_data
from layerdropback.training.machine import machine

# Points below plain training's final accuracy that are to be reached.
BELOW = 0.5


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder:DIR of CIFAR-10, or digits for a try")
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--rate", default="100mbit", help="of the link")
    parser.add_argument("--train", type=int, default=10000, help="training images")
    parser.add_argument("--held", type=int, default=2500, help="others, to tune on")
    parser.add_argument("--test", type=int, default=5000, help="test images")
    parser.add_argument("--batch", type=int, default=160, help="of both workers together")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=14, help="of timed steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--tune-seeds", type=int, default=2)
    parser.add_argument("--grid", type=float, nargs="+", default=[0.02, 0.05, 0.125])
    return parser.parse_args()


def images(arguments: argparse.Namespace) -> dict[str, tuple[Tensor, Tensor]]:
    """Pixels, normalised, and labels of the three splits."""
    wanted = arguments.train + arguments.held
    data = load_data(arguments.data, 32, wanted, arguments.test)
    train, test = data.train, data.test
    assert isinstance(train, Split)
    assert isinstance(test, Split)
    held = stratified(train.labels.tolist(), arguments.held)
    rest = sorted(set(range(len(train))) - set(held))
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in data.statistics())

    def ready(split: Split) -> tuple[Tensor, Tensor]:
        return (split.pixels.float() / 255 - mean) / deviation, split.labels.clone()

    return {
        "train": ready(train.subset(rest)),
        "held": ready(train.subset(held)),
        "test": ready(test),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Have the workers do it all.

    Raises:
        Unavailable: there is no link to be had.
    """
    with joined(arguments.rate) as ends, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(images(arguments), folder / "images.pt")
        plan = {k: v for k, v in vars(arguments).items() if k != "out"}
        (folder / "plan.json").write_text(json.dumps(plan))
        worker = Path(__file__).with_name("slow_link_worker.py")
        run_workers(worker, folder, ends, {"GLOO_SOCKET_IFNAME": DEVICE})
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
        return found


# ---- what is made of it --------------------------------------------------------------------------


def quartiles(values: Sequence[float]) -> str:
    """Median with the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}], n = {len(values)}"


def step_rows(found: Mapping[str, Any], batch: int) -> list[list[str]]:
    full = statistics.median(found["times"]["plain"]["full"])
    rows = []
    for arm in TIMED:
        for kind, seconds in found["times"][arm.name].items():
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


def measured(found: Mapping[str, Any]) -> dict[str, Measured]:
    """Final accuracy and wall time of each arm, by seed."""
    result = {}
    for arm in ARMS:
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
    found: Mapping[str, Any], results: Mapping[str, Measured], target: float, least: float
) -> list[list[str]]:
    plain = results["plain"]
    rows = []
    for arm in ARMS:
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


def verdicts(results: Mapping[str, Measured], least: float) -> list[str]:
    """Each method against plain training of the same time; compressed against compressed."""
    lines = []
    for fp16 in (False, True):
        name = "plain-fp16" if fp16 else "plain"
        arms = [arm for arm in METHODS if arm.fp16 == fp16]
        equal = {arm.name: results[f"{name}@{arm.name}"] for arm in arms}
        pairs = {arm.name: (results[arm.name], equal[arm.name]) for arm in arms}
        found = judge(results[name], pairs, [results[name], *equal.values()], least_spread=least)
        said = " (plain training is plain-fp16 here)" if fp16 else ""
        lines += [f"- {arm}{said}: {verdict.text}" for arm, verdict in found.items()]
    return lines


def neighbour_rows(results: Mapping[str, Measured], least: float) -> list[list[str]]:
    rows = []
    for method in METHODS:
        for other in NEIGHBOURS:
            found = Compared.between(results[method.name], results[other.name], least)
            points, time = found.accuracy.as_text("+.2f"), found.time.as_text(".2f")
            rows.append([method.name, other.name, points, time])
    return rows


def told(arm: Arm) -> str:
    """What an arm is, in a line."""
    if arm.time_of is not None:
        text = f"plain training for as many steps as fit into the time of {arm.time_of}"
    elif arm.dropping is None:
        text = "plain training"
        text += f" with batches of {arm.batch:g} times the size" if arm.batch != 1 else ""
    else:
        settings = ", ".join(f"{k}={v}" for k, v in arm.dropping.items())
        text = f"LayerDropBack, drop_rate=0.5, {settings}, register_comm_hook()"
    text += ", gradients sent in half precision (fp16_compress_hook)" if arm.fp16 else ""
    tuned = f"; learning rate of {arm.tuned_as}" if arm.tuned_as is not None else ""
    return f"- {arm.name}: {text}{tuned}."


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
    least = 100 / arguments.test  # one image
    results = measured(found)
    target = statistics.fmean(results["plain"].accuracy) - BELOW
    plan = {k: v if k != "out" else str(v) for k, v in vars(arguments).items()}
    numbers = {"command": command, **facts, "plan": plan, "target": target, **found}
    arguments.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
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
            f"# Two workers with {arguments.rate}/s between them, {date.today()}",
            "",
            f"Command: `{command}`",
            "",
            f"{hardware['device']}, 2 processes of one thread; torch {versions['torch']}, gloo, "
            f"layerdropback {versions['layerdropback']}, commit "
            f"{versions.get('commit', 'unknown')}. Two network namespaces joined by a veth pair, "
            f"`tbf rate {arguments.rate}` at both ends; a big all-reduce got "
            f"{found['rate']:.0f} Mbit/s.",
            "",
            f"Two convolutions and {arguments.blocks} residual linear blocks of width "
            f"{arguments.width}: {found['numbers']:,} parameters, "
            f"{4 * found['numbers'] / 2**20:.2f} MiB of gradients. {arguments.data}, "
            f"{arguments.train:,} training images, batches of {arguments.batch} (both workers "
            f"together), {arguments.epochs} epochs; SGD with Nesterov momentum 0.9 and weight "
            "decay 5e-4, the learning rate rising for 5 % of the steps and then falling to zero as "
            "a cosine; no augmentation.",
            "",
            "## What was gained",
            "",
            *verdicts(results, least),
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
            markdown_table(STEPS, step_rows(found, arguments.batch)),
            "",
            "## Time to equal accuracy",
            "",
            f"Tested on {arguments.test:,} images after each tenth of a run, with the clock "
            f"stopped; the target is plain training's mean final accuracy less {BELOW:g} point: "
            f"{target:.2f} %.",
            "",
            markdown_table(ACCURACY, accuracy_rows(found, results, target, least)),
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
                ("arm", "against", "points", "of its time"), neighbour_rows(results, least)
            ),
            "",
            "## The arms",
            "",
            *(told(arm) for arm in ARMS),
            "",
            "## Every run",
            "",
            markdown_table(("arm", "seed", "time, s", "accuracy by tenth of the run, %"), runs),
            "",
        ]
    )
    arguments.out.with_suffix(".md").write_text(card)
    print(card)


def main() -> None:
    arguments = parse()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring
    facts = machine(torch.device("cpu"))  # before: this is the code that is measured
    try:
        found = measure(arguments)
    except Unavailable as reason:
        print(f"skipped: {reason}")
        return
    write(arguments, found, facts)


if __name__ == "__main__":
    main()
