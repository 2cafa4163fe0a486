"""Plain training and LayerDropBack on CIFAR-10, from the same seed, epoch by epoch in turns.

    python benchmarks/cifar10.py --settings examples/cifar10-cpu.yaml --data folder:data/cifar10 \
        --out benchmarks/results/DATE-cifar10-cpu

A card for "it trains, this fast": one seed and no control for equal time, so it compares no
accuracies.
"""

import argparse
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from card import write as write_card

from layerdropback.runs.machine import machine
from layerdropback.tasks.arms import plain_of
from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from layerdropback.training.metrics import EpochMetrics
from layerdropback.training.settings_file import read_settings


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--data", required=True, help="cifar10, or folder:DIR")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="fewer, for a try")
    parser.add_argument("--limit-train", type=int, help="fewer images, for a try")
    parser.add_argument("--limit-test", type=int)
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> TrainConfig:
    given = read_settings(arguments.settings)
    for name in ("data", "device", "threads", "seed", "epochs", "limit_train", "limit_test"):
        if getattr(arguments, name) is not None:
            given[name] = getattr(arguments, name)
    config = TrainConfig.from_dict(given)
    config.check()
    return config


def medians(history: list[EpochMetrics], mode: str) -> tuple[str, str]:
    """Seconds and images per second of the epochs of a mode; the first one is a warm-up."""
    chosen = [metrics for metrics in history[1:] or history if metrics.mode == mode]
    if not chosen:
        return "-", "-"
    seconds = [metrics.seconds for metrics in chosen]
    rate = statistics.median(metrics.images_per_second for metrics in chosen)
    spread = f"[{min(seconds):.1f}, {max(seconds):.1f}]"
    return f"{statistics.median(seconds):.1f} {spread}, n = {len(chosen)}", f"{rate:,.0f}"


def main() -> None:
    arguments = parse()
    config = settings_of(arguments)
    data = load_data(config.data, config.image_size, config.limit_train, config.limit_test)
    plain = plain_of(config)
    arms = {"plain": plain, "LayerDropBack": config}
    trainers = {name: Trainer(arm, data) for name, arm in arms.items()}
    facts = machine(trainers["plain"].device)  # before: this is the code that is measured
    histories: dict[str, list[EpochMetrics]] = {name: [] for name in arms}
    minutes = dict.fromkeys(arms, 0.0)
    for epoch in range(config.epochs):
        for name, trainer in trainers.items():
            start = time.perf_counter()
            metrics = trainer.train_epoch(epoch)
            minutes[name] += (time.perf_counter() - start) / 60
            histories[name].append(metrics)
            print(
                f"{name:14} epoch {metrics.epoch} {metrics.mode} {metrics.seconds:.1f} s "
                f"test {metrics.test_accuracy:.2f} %",
                flush=True,
            )
    write(arguments, config, facts, histories, minutes, len(data.train))


def write(
    arguments: argparse.Namespace,
    config: TrainConfig,
    facts: dict[str, Any],
    histories: dict[str, list[EpochMetrics]],
    minutes: dict[str, float],
    images: int,
) -> None:
    rows = []
    for name, history in histories.items():
        full, rate = medians(history, "full")
        drop, drop_rate = medians(history, "drop")
        rows.append(
            f"| {name} | {history[-1].test_accuracy:.2f} % | {minutes[name]:.1f} | {full} | {rate} "
            f"| {drop} | {drop_rate} |"
        )
    command = shlex.join(["python", *sys.argv])
    ratio = minutes["LayerDropBack"] / minutes["plain"]
    rows_of_settings = {k: v for k, v in config.as_dict().items() if v is not None}
    card = "\n".join(
        [
            f"# {config.model} on CIFAR-10, {time.strftime('%Y-%m-%d')}",
            "",
            f"Command: `{command}`",
            "",
            f"{facts['hardware']['device']}, {facts['hardware']['threads']} CPU threads, torch "
            f"{torch.__version__}, timm {facts['versions']['timm']}, commit "
            f"{facts['versions'].get('commit', 'unknown')}. "
            f"{images:,} training images, {config.epochs} epochs, seed {config.seed}; the arms "
            "took turns epoch by epoch in one process.",
            "",
            "| arm | final test accuracy | minutes, tests included | full epoch, s: median [min, "
            "max] | images/s | drop epoch, s | images/s |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"The LayerDropBack run took {ratio:.2f} of the plain run's time. The first epoch of "
            "each arm is left out of the medians. n = 1 seed, and plain training in the same time "
            "was not run: this card compares no accuracies and claims no gain.",
            "",
            "Settings: " + ", ".join(f"{k} {v}" for k, v in rows_of_settings.items()),
            "",
        ]
    )
    numbers = {
        "command": command,
        **facts,
        "settings": config.as_dict(),
        "minutes": minutes,
        "epochs": {name: [m.as_dict() for m in history] for name, history in histories.items()},
    }
    write_card(arguments.out, card, numbers)
    print(card)


if __name__ == "__main__":
    main()
