"""One run from its settings to a folder of results."""

import json
import time
from pathlib import Path

from rich.console import Console

from ..errors import UsageError, explain
from .config import TrainConfig
from .data import load_data
from .export import export_weights
from .loop import EpochMetrics, Trainer
from .machine import machine
from .progress import Progressing

SETTINGS, METRICS, WEIGHTS = "settings.json", "metrics.jsonl", "weights.safetensors"


def train(config: TrainConfig, console: Console | None = None) -> list[EpochMetrics]:
    """Train as the settings say, and write settings, metrics and weights to the run's folder.

    Args:
        config: the settings.
        console: where to say what happens; standard output by default.

    Returns:
        The metrics of every epoch.

    Raises:
        UsageError: the settings cannot be followed.
    """
    config.check()
    console = console or Console()
    folder = _folder(config)
    data = load_data(config.data, config.image_size, config.limit_train, config.limit_test)
    trainer = Trainer(config, data)
    progress = Progressing(console, config.epochs)
    progress.say(_headline(config, trainer, len(data.train), len(data.test)))
    progress.say(trainer.stem)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).unlink(missing_ok=True)  # --overwrite: they are not this run's
    resolved = (
        config.as_dict() | {"out": str(folder), "stem_line": trainer.stem} | machine(trainer.device)
    )
    (folder / SETTINGS).write_text(json.dumps(resolved, indent=2) + "\n")
    history = []
    with progress.running(), (folder / METRICS).open("w") as lines:
        for epoch in range(config.epochs):
            progress.begin(epoch, len(data.train))
            metrics = trainer.train_epoch(epoch, progress.step)
            history.append(metrics)
            lines.write(json.dumps(metrics.as_dict()) + "\n")
            lines.flush()
            progress.end(metrics)
    notes = {
        "classes": list(data.classes),
        "mean": trainer.mean,
        "std": trainer.std,
        "test_accuracy": history[-1].test_accuracy,
    }
    export_weights(trainer.model, folder / WEIGHTS, trainer.spec, notes)
    progress.say(f"final test accuracy {history[-1].test_accuracy:.2f} %; the run is in {folder}")
    return history


def _folder(config: TrainConfig) -> Path:
    if config.out is None:
        kind = config.data.partition(":")[0]
        stamp = time.strftime("%Y%m%d-%H%M%S")
        base = Path("runs") / f"{config.model}-{kind}-{stamp}"
        number = 1
        folder = base
        while folder.exists():  # two runs in one second
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        return folder
    if config.out.is_file():
        cause = "a run needs a folder"
        raise UsageError(explain(f"--out {config.out} is a file", cause, "give another name"))
    if not config.overwrite and (config.out / METRICS).exists():
        fact = f"--out {config.out} has a run already"
        cause = "its metrics and weights would be lost"
        raise UsageError(explain(fact, cause, "give another folder, or --overwrite"))
    return config.out


def _headline(config: TrainConfig, trainer: Trainer, train: int, test: int) -> str:
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    schedule = config.dropping.settings().schedule
    kind = "plain" if not schedule.ever_drops else trainer.ldb.summary().splitlines()[0]
    return (
        f"{config.model} ({count / 1e6:.1f} M parameters) on {config.data}: {train:,} training and "
        f"{test:,} test images, {trainer.device}; {kind}"
    )
