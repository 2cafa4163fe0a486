"""Plain training and LayerDropBack on scikit-learn's digits, from the same seed, side by side.

The arms take turns epoch by epoch, so that whatever else the machine does hits all alike. One seed
and 360 test images prove nothing about accuracy; the table says what happened here, no more.
"""

import math
import statistics
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from layerdropback.training.config import Dropping, TrainConfig
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import EpochMetrics, Trainer
from layerdropback.training.machine import machine

EPOCHS = 8
PLAIN = TrainConfig(epochs=EPOCHS, dropping=Dropping(drop_rate=0.0))
ARMS = {
    "plain": PLAIN,
    "LayerDropBack": replace(PLAIN, dropping=Dropping()),
    "no-drop control": replace(PLAIN, dropping=Dropping(strategy="none")),
}
SAME_TIME = "plain, same time"


def seconds(history: list[EpochMetrics], mode: str | None = None) -> list[float]:
    """Seconds of each epoch, of one mode if one is named."""
    return [metrics.seconds for metrics in history if mode in (None, metrics.mode)]


def main() -> None:
    """Train the arms, then plain training for as long as LayerDropBack took, and print a table."""
    console = Console()
    data = load_data("digits")
    console.print(
        f"{PLAIN.model} on {len(data.train):,} digits of 8x8 pixels, {EPOCHS} epochs, seed "
        f"{PLAIN.seed}; this takes a minute or two.",
        highlight=False,
        soft_wrap=True,
    )
    Trainer(PLAIN, data).train_epoch(0)  # warm-up: allocators, thread pools, kernels

    trainers = {name: Trainer(config, data) for name, config in ARMS.items()}
    histories: dict[str, list[EpochMetrics]] = {name: [] for name in trainers}
    for epoch in range(EPOCHS):
        for name, trainer in trainers.items():
            histories[name].append(trainer.train_epoch(epoch))
        console.print(f"epoch {epoch + 1}/{EPOCHS} of each arm is done", highlight=False)

    plain, dropped = histories["plain"], histories["LayerDropBack"]
    # Whole epochs, rounded in favour of plain training; its learning rate decays fully too.
    share = sum(seconds(dropped)) / sum(seconds(plain))
    shorter = min(EPOCHS, math.ceil(EPOCHS * share))
    if shorter < EPOCHS:
        trainer = Trainer(replace(PLAIN, epochs=shorter), data)
        histories[SAME_TIME] = [trainer.train_epoch(epoch) for epoch in range(shorter)]
    else:
        histories[SAME_TIME] = plain  # the time is worth as many whole epochs: the same run

    table = Table("", title="Digits")
    for heading in ("epochs", "full epoch", "drop epoch", "run", "accuracy"):
        table.add_column(heading, justify="right")
    for arm, history in histories.items():
        full, drop = seconds(history, "full"), seconds(history, "drop")
        table.add_row(
            arm,
            str(len(history)),
            f"{statistics.median(full):.2f} s",
            f"{statistics.median(drop):.2f} s" if drop else "-",
            f"{sum(seconds(history)) / sum(seconds(plain)):.2f} x",
            f"{history[-1].test_accuracy:.1f} %",
        )
    console.print(table)
    ratio = statistics.median(seconds(dropped, "drop")) / statistics.median(seconds(plain))
    accuracy = {arm: history[-1].test_accuracy for arm, history in histories.items()}
    facts = machine(trainers["plain"].device)
    console.print(
        f"A drop epoch took {ratio:.2f} of a plain epoch, the whole run {share:.2f} of the plain "
        f"run: {100 * (1 - share):.0f} % of the time saved.\n"
        f"Accuracy: {accuracy['LayerDropBack']:.1f} % against {accuracy['plain']:.1f} % for plain "
        f"training, and {accuracy[SAME_TIME]:.1f} % for plain training in the same time (rounded "
        f"up to {shorter} whole epochs). With one seed and {len(data.test)} test images a "
        f"difference under 2 points says nothing.\n"
        f"The control has the same learning-rate changes as LayerDropBack and drops nothing. The "
        f"last arm ran after the others (or is the plain one, where as many epochs fit), so its "
        f"seconds do not compare.\n"
        f"{facts['hardware']['device']}, {facts['hardware']['threads']} threads, torch "
        f"{torch.__version__}; medians over epochs, n = 1 seed.",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
