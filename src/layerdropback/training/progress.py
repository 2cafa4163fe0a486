"""What a run says: of itself first, a line for each epoch and a bar, and why it fails."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ..errors import UsageError, WorkerError, explain
from ..runs.machine import is_out_of_memory
from .config import TrainConfig
from .images.data import ImageData
from .loop import Trainer
from .metrics import EpochMetrics
from .norms import batch_norms
from .workers import Workers

# What gloo and NCCL say when one of the workers has gone.
_LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "timed out")


class RunConsole(Console):
    """Goes on in silence when nobody reads any more (``| head``): the run is what counts."""

    def on_broken_pipe(self) -> None:
        """See `Console`."""
        self.quiet = True


def introduction(config: TrainConfig, data: ImageData, trainer: Trainer) -> list[str]:
    """Lines on the model, the images, how layers drop, and what was decided for the user."""
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    first = (
        f"{config.model} ({count / 1e6:.1f} M parameters) on {config.data}: "
        f"{len(data.train):,} training and {len(data.test):,} test images, "
        f"{trainer.device}; {_kind(config, trainer)}"
    )
    norms = {"all": "all", "dropped": "those that drop"}.get(config.bn_eval, "")
    if norms:
        count = len(batch_norms(trainer.model))
        norms = f"of {count} BatchNorm layers {norms} are in evaluation mode"
    lines = (first, trainer.network.stem, trainer.network.start, norms, data.remark)
    return [line for line in lines if line]


def _kind(config: TrainConfig, trainer: Trainer) -> str:
    settings = trainer.epochs.settings
    if not settings.ever_drops:
        return "plain"
    kind = trainer.ldb.summary().splitlines()[0]
    schedule = settings.schedule
    periods = math.ceil((schedule.length or 1) / (schedule.steps or 1))
    if not any(map(settings.is_drop_epoch, range(periods))):
        kind += f"; no epoch of this run drops, as it has {config.epochs}"
    return kind


def epoch_line(metrics: EpochMetrics, epochs: float) -> str:
    """One epoch in one line.

    Example:
        >>> from types import SimpleNamespace
        >>> metrics = SimpleNamespace(
        ...     epoch=2, mode="drop", share_dropped=0.5, train_loss=0.25, train_accuracy=91.0,
        ...     test_accuracy=93.5, seconds=1.5, images_per_second=812.4, skipped=3, unreadable=0)
        >>> line = epoch_line(metrics, 10)
        >>> line[:55]
        'epoch  2/10  drop  dropped 50.0 %  loss 0.2500  train 9'
        >>> line[55:]
        '1.00 %  test 93.50 %  812 images/s  1.50 s  3 steps skipped'
    """
    return (
        f"epoch {metrics.epoch:>{len(str(math.ceil(epochs)))}}/{epochs}  {metrics.mode}  "
        f"dropped {100 * metrics.share_dropped:4.1f} %  loss {metrics.train_loss:.4f}  "
        f"train {metrics.train_accuracy:5.2f} %  test {metrics.test_accuracy:5.2f} %  "
        f"{metrics.images_per_second:.0f} images/s  {metrics.seconds:.2f} s"
        + (f"  {metrics.skipped} steps skipped" if metrics.skipped else "")
        + (f"  {metrics.unreadable} images unreadable" if metrics.unreadable else "")
    )


def last_line(history: Sequence[EpochMetrics], folder: Path) -> str:
    """What a finished run came to.

    Example:
        >>> from types import SimpleNamespace
        >>> epochs = [SimpleNamespace(test_accuracy=93.5, skipped=2)] * 2
        >>> last_line(epochs, Path("runs/a"))
        'final test accuracy 93.50 %, 4 steps skipped; the run is in runs/a'
    """
    skipped = sum(metrics.skipped for metrics in history)
    told = f", {skipped} steps skipped" if skipped else ""
    return f"final test accuracy {history[-1].test_accuracy:.2f} %{told}; the run is in {folder}"


class Progressing:
    """Shows progress: rich's bar on a terminal, nothing in between elsewhere.

    Args:
        console: where.
        epochs: of the whole run.
        clock: seconds since some moment.
    """

    def __init__(
        self, console: Console, epochs: float, clock: Callable[[], float] = time.perf_counter
    ):
        self._console, self._epochs, self._clock = console, epochs, clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images{task.fields[pace]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", pace="")
        self._started: float | None = None
        self._images = 0  # in this process

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the bar is on the screen."""
        with self._bar:
            yield

    def begin(self, epoch: int, images: int, done: int = 0) -> None:
        """An epoch begins, or goes on.

        Args:
            epoch: counted from 0.
            images: in a whole epoch.
            done: of them, those that an earlier process has trained on.
        """
        self._epoch_started = self._clock()
        if self._started is None:
            self._started = self._epoch_started
        self._epoch_images, self._left = 0, round(images * (self._epochs - epoch)) - done
        images = round(images * min(1, self._epochs - epoch))
        text = f"epoch {epoch + 1}/{self._epochs}"
        self._bar.reset(self._task, description=text, total=images, completed=done)

    def step(self, images: int) -> None:
        """A step of so many images is done."""
        self._images += images
        self._epoch_images += images
        self._left -= images
        self._bar.update(self._task, advance=images, pace=self._pace())

    def end(self, metrics: EpochMetrics) -> None:
        """The epoch is done."""
        self.say(epoch_line(metrics, self._epochs))

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _pace(self) -> str:
        """Speed of this epoch, and the time that the rest of the run takes, its tests included."""
        now = self._clock()
        in_epoch, in_all = now - self._epoch_started, now - (self._started or 0.0)
        if in_epoch <= 0 or in_all <= 0 or self._images == 0:
            return ""
        left = timedelta(seconds=round(max(0, self._left) * in_all / self._images))
        return f"  {self._epoch_images / in_epoch:.0f} images/s  {left} left in all"


def explained(
    error: BaseException, config: TrainConfig, workers: Workers, epoch: int
) -> UsageError | None:
    """An error of torch's for the user; None for one that should be seen as it is.

    Args:
        error: that came while training.
        config: of the run.
        workers: that train together.
        epoch: counted from 1.

    Example:
        >>> from .workers import ALONE
        >>> full = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        >>> print(str(explained(full, TrainConfig(), ALONE, 1)).partition(".")[0])
        out of memory in epoch 1
        >>> explained(RuntimeError("a bug"), TrainConfig(), ALONE, 1) is None
        True
    """
    if is_out_of_memory(error):
        fact = f"out of memory in epoch {epoch}"
        settings, images = config.drop_settings(), config.batch_size
        if settings.schedule.steps is None and settings.is_drop_epoch(epoch - 1):
            images = max(1, round(images * settings.batch_scale))
        cause = f"a step on {images} images needs more than there is"
        cure = f"begin anew with --accumulate {2 * config.accumulate}"
        cure += ", or a smaller --batch-size or --image-size"
        return WorkerError(explain(fact, cause, cure))
    if workers.count > 1 and any(word in str(error).lower() for word in _LOST):
        fact = f"rank {workers.rank} has lost another worker in epoch {epoch}"
        reason = str(error).partition("\n")[0].rstrip(".")
        cure = "look at what that one said; --resume goes on from the last checkpoint, which "
        cure += "torchrun --max-restarts does by itself"
        return WorkerError(explain(fact, reason, cure))
    return None


def not_saved(error: OSError, folder: Path, steps: int, stopped: bool) -> None:
    """Tell of a checkpoint that could not be written, where the disk is full, say.

    Args:
        error: of the system.
        folder: the run's.
        steps: that are done.
        stopped: whether the run ends here; training goes on otherwise.

    Raises:
        UsageError: the run ends, and what was done since the last checkpoint is lost.
    """
    if not folder.is_dir():
        fact, cause = f"{folder} is gone", "it was moved or removed while the run was in it"
        cure = "put it back and go on with --resume, or begin anew"
        raise UsageError(explain(fact, cause, cure)) from None
    fact = f"no checkpoint could be saved after {steps} steps"
    reason = error.strerror or str(error)
    if stopped:
        cure = "make room; --resume goes on from the last good one"
        raise UsageError(explain(f"stopped, but {fact}", reason, cure)) from None
    cure = "make room: training goes on, the last good one stays"
    warnings.warn(explain(fact, reason, cure), stacklevel=3)
