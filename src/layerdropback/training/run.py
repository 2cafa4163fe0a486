"""One run from its settings to a folder of results."""

import itertools
import json
import time
from pathlib import Path

from rich.console import Console

from ..errors import UsageError, explain
from .config import TrainConfig
from .data import load_data
from .export import export_weights
from .loop import EpochMetrics, Trainer, find_device
from .machine import machine
from .models import small_stem
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
    console = console or _Console()
    # What can be told at once is told before the data is read.
    find_device(config.device)
    small_stem(config.model)
    _require_no_run(config)
    data = load_data(config.data, config.image_size, config.limit_train, config.limit_test)
    trainer = Trainer(config, data)
    folder = _make_folder(config)
    progress = Progressing(console, config.epochs)
    progress.say(_headline(config, trainer, len(data.train), len(data.test)))
    progress.say(trainer.stem)
    if data.remark:
        progress.say(data.remark)
    used = {
        "out": str(folder),
        "device_used": trainer.device.type,
        "stem_used": trainer.stem,
        "images": {"train": len(data.train), "test": len(data.test), "size": data.size},
    }
    resolved = config.as_dict() | used | machine(trainer.device)
    (folder / SETTINGS).write_text(json.dumps(resolved, indent=2) + "\n")
    history: list[EpochMetrics] = []
    try:
        with progress.running(), (folder / METRICS).open("w") as lines:
            for epoch in range(config.epochs):
                progress.begin(epoch, len(data.train))
                metrics = trainer.train_epoch(epoch, progress.step)
                history.append(metrics)
                lines.write(json.dumps(metrics.as_dict(), allow_nan=False) + "\n")
                lines.flush()
                progress.end(metrics)
    except KeyboardInterrupt:
        done = f"{len(history)} of {config.epochs} epochs"
        progress.say(f"stopped after {done}; their metrics are in {folder}, no weights are saved")
        raise
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        fact = f"out of memory in epoch {len(history) + 1}"
        cause = f"a step on {config.batch_size} images needs more than there is"
        cure = "use a smaller --batch-size or --image-size"
        raise UsageError(explain(fact, cause, cure)) from error
    notes = {
        "classes": list(data.classes),
        "mean": trainer.mean,
        "std": trainer.std,
        "test_accuracy": history[-1].test_accuracy,
    }
    export_weights(trainer.model, folder / WEIGHTS, trainer.spec, notes)
    progress.say(f"final test accuracy {history[-1].test_accuracy:.2f} %; the run is in {folder}")
    return history


class _Console(Console):
    """Goes on in silence when nobody reads any more (``| head``): the run is what counts."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


def _require_no_run(config: TrainConfig) -> None:
    if config.out is None:
        return
    out = config.out.expanduser()
    if out.is_file():
        cause = "a run needs a folder"
        raise UsageError(explain(f"--out {config.out} is a file", cause, "give another name"))
    present = [name for name in (SETTINGS, METRICS, WEIGHTS) if (out / name).exists()]
    if present and not config.overwrite:
        fact = f"--out {config.out} has a {present[0]} already"
        cause = "it would be lost"
        raise UsageError(explain(fact, cause, "give another folder, or --overwrite"))


def _make_folder(config: TrainConfig) -> Path:
    if config.out is not None:
        folder = config.out.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).unlink(missing_ok=True)  # --overwrite: they are not this run's
        return folder
    kind = config.data.partition(":")[0]
    name = f"{config.model}-{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:  # making it claims it: two runs may start in one second
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("itertools.count ends never")


def _headline(config: TrainConfig, trainer: Trainer, train: int, test: int) -> str:
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    schedule = config.dropping.settings().schedule
    kind = "plain" if not schedule.ever_drops else trainer.ldb.summary().splitlines()[0]
    if schedule.ever_drops and not any(map(schedule.is_drop_epoch, range(config.epochs))):
        kind += f"; no epoch of this run drops, as it has {config.epochs}"
    return (
        f"{config.model} ({count / 1e6:.1f} M parameters) on {config.data}: {train:,} training and "
        f"{test:,} test images, {trainer.device}; {kind}"
    )
