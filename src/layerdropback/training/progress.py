"""What a run says while it trains: a bar on a terminal, a line for each epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class RunConsole(Console):
    """Goes on in silence when nobody reads any more (``| head``): the run is what counts."""

    def on_broken_pipe(self) -> None:
        """See `Console`."""
        self.quiet = True


class Epoch(Protocol):
    """What `epoch_line` tells of an epoch; see `loop.EpochMetrics`."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def mode(self) -> str: ...  # noqa: D102
    @property
    def share_dropped(self) -> float: ...  # noqa: D102
    @property
    def train_loss(self) -> float: ...  # noqa: D102
    @property
    def train_accuracy(self) -> float: ...  # noqa: D102
    @property
    def test_accuracy(self) -> float: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def images_per_second(self) -> float: ...  # noqa: D102


def epoch_line(metrics: Epoch, epochs: float) -> str:
    """One epoch in one line.

    Example:
        >>> from types import SimpleNamespace
        >>> metrics = SimpleNamespace(
        ...     epoch=2, mode="drop", share_dropped=0.5, train_loss=0.25, train_accuracy=91.0,
        ...     test_accuracy=93.5, seconds=1.5, images_per_second=812.4)
        >>> line = epoch_line(metrics, 10)
        >>> line[:55]
        'epoch  2/10  drop  dropped 50.0 %  loss 0.2500  train 9'
        >>> line[55:]
        '1.00 %  test 93.50 %  812 images/s  1.50 s'
    """
    return (
        f"epoch {metrics.epoch:>{len(str(math.ceil(epochs)))}}/{epochs}  {metrics.mode}  "
        f"dropped {100 * metrics.share_dropped:4.1f} %  loss {metrics.train_loss:.4f}  "
        f"train {metrics.train_accuracy:5.2f} %  test {metrics.test_accuracy:5.2f} %  "
        f"{metrics.images_per_second:.0f} images/s  {metrics.seconds:.2f} s"
    )


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

    def end(self, metrics: Epoch) -> None:
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
