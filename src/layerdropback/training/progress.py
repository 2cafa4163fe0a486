"""What a run says while it trains: a bar on a terminal, a line for each epoch."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .loop import EpochMetrics


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """One epoch in one line.

    Example:
        >>> metrics = EpochMetrics(2, "drop", 9, 64, 0.1, 2.0, 0.5, 0.25, 91.0, 0.2, 93.5, 1.5)
        >>> epoch_line(metrics, 10)
        'epoch  2/10  drop  dropped 50.0 %  loss 0.2500  train 91.00 %  test 93.50 %  1.50 s'
    """
    return (
        f"epoch {metrics.epoch:>{len(str(epochs))}}/{epochs}  {metrics.mode}  "
        f"dropped {100 * metrics.share_dropped:4.1f} %  loss {metrics.train_loss:.4f}  "
        f"train {metrics.train_accuracy:5.2f} %  test {metrics.test_accuracy:5.2f} %  "
        f"{metrics.seconds:.2f} s"
    )


class Progressing:
    """Shows progress: rich's bar on a terminal, nothing in between elsewhere."""

    def __init__(self, console: Console, epochs: int):
        self._console, self._epochs = console, epochs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("")

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the bar is on the screen."""
        with self._bar:
            yield

    def begin(self, epoch: int, images: int) -> None:
        """An epoch (counted from 0) of so many images begins."""
        text = f"epoch {epoch + 1}/{self._epochs}"
        self._bar.reset(self._task, description=text, total=images)

    def step(self, images: int) -> None:
        """A step of so many images is done."""
        self._bar.advance(self._task, images)

    def end(self, metrics: EpochMetrics) -> None:
        """The epoch is done."""
        self.say(epoch_line(metrics, self._epochs))

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
