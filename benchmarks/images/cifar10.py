"""Plain training and LayerDropBack on CIFAR-10, from the same seed, epoch by epoch in turns.

    python -m benchmarks cifar10 --settings examples/cifar10-cpu.yaml --data folder:data/cifar10 \
        --out benchmarks/results/DATE-cifar10-cpu

A card for "it trains, this fast": one seed and no control for equal time, so it compares no
accuracies.
"""

import argparse
import statistics
import time
from pathlib import Path

from layerdropback.lab.tables import markdown_table
from layerdropback.tasks.arms import plain_of
from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from layerdropback.training.metrics import EpochMetrics
from layerdropback.training.settings_file import read_settings

from ..common.card_files import page, write
from ..common.facts import facts_of, sentence
from ..common.flags import out, threads

HEAD = (
    "arm",
    "final test accuracy",
    "minutes, tests included",
    "full epoch, s: median [min, max]",
    "images/s",
    "drop epoch, s",
    "images/s",
)


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--data", required=True, help="cifar10, or folder:DIR")
    out(parser)
    parser.add_argument("--device", default="auto")
    threads(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="fewer, for a try")
    parser.add_argument("--limit-train", type=int, help="fewer images, for a try")
    parser.add_argument("--limit-test", type=int)


def settings_of(args: argparse.Namespace) -> TrainConfig:
    given = read_settings(args.settings)
    for name in ("data", "device", "threads", "seed", "epochs", "limit_train", "limit_test"):
        if getattr(args, name) is not None:
            given[name] = getattr(args, name)
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


def rows(histories: dict[str, list[EpochMetrics]], minutes: dict[str, float]) -> list[list[str]]:
    made = []
    for name, history in histories.items():
        times = [cell for mode in ("full", "drop") for cell in medians(history, mode)]
        made.append([name, f"{history[-1].test_accuracy:.2f} %", f"{minutes[name]:.1f}", *times])
    return made


def train(
    config: TrainConfig, trainers: dict[str, Trainer]
) -> tuple[dict[str, list[EpochMetrics]], dict[str, float]]:
    """The epochs of each arm, and the minutes that all of it took."""
    histories: dict[str, list[EpochMetrics]] = {name: [] for name in trainers}
    minutes = dict.fromkeys(trainers, 0.0)
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
    return histories, minutes


def run(args: argparse.Namespace) -> None:
    """Train both arms, and write the card."""
    config = settings_of(args)
    data = load_data(config.data, config.image_size, config.limit_train, config.limit_test)
    arms = {"plain": plain_of(config), "LayerDropBack": config}
    trainers = {name: Trainer(arm, data) for name, arm in arms.items()}
    facts = facts_of(trainers["plain"].device)
    histories, minutes = train(config, trainers)
    settings = {k: v for k, v in config.as_dict().items() if v is not None}
    card = page(
        f"{config.model} on CIFAR-10",
        args.command,
        f"{sentence(facts)} {len(data.train):,} training images, {config.epochs} epochs, seed "
        f"{config.seed}; the arms took turns epoch by epoch in one process.",
        markdown_table(HEAD, rows(histories, minutes)),
        f"The LayerDropBack run took {minutes['LayerDropBack'] / minutes['plain']:.2f} of the "
        "plain run's time. The first epoch of each arm is left out of the medians. n = 1 seed, "
        "and plain training in the same time was not run: this card compares no accuracies and "
        "claims no gain.",
        "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items()),
    )
    epochs = {name: [m.as_dict() for m in history] for name, history in histories.items()}
    more = {"settings": config.as_dict(), "minutes": minutes, "epochs": epochs}
    write(args.out, card, {"command": args.command, **facts, **more})
    print(card)
