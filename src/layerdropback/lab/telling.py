"""What a comparison says while it runs."""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .record import Record
from .tables import plan_lines, result_lines, result_tables
from .turns import Player, Row


class Telling:
    """Lines for what is done, and on a terminal a bar for what is under way.

    Args:
        console: where; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self._console = console or Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0, left="")
        self._seconds = 0.0  # of training, in this process
        self._begun = 0.0

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begins(self, record: Record, folder: Path) -> None:
        """The comparison begins, or goes on."""
        data, seeds = record.data, len(record.seeds)
        self.say(
            f"comparing {', '.join(record.names())} on {data['name']}: {data['train']:,} training "
            f"and {data['test']:,} {'held-out' if record.kind == 'sweep' else 'test'} "
            f"{record.unit}, "
            f"{seeds} seed{'s' if seeds > 1 else ''}; in {folder}"
        )
        self._bar.start()

    def close(self) -> None:
        """The bar leaves the screen, whatever happened."""
        self._bar.stop()

    def passing(self, text: str) -> None:
        """Something that is soon replaced; on a terminal only."""
        self._bar.update(self._task, description=text)

    def trial(self, trial: Mapping[str, Any]) -> None:
        """A learning rate was tried."""
        found = "diverged" if trial["accuracy"] is None else f"{trial['accuracy']:.2f} % held out"
        self.say(f"tuning {trial['arm']}: lr {trial['lr']:g} {found}")

    def planned(self, record: Record) -> None:
        """The pilot and the tuning are done."""
        for line in plan_lines(record):
            self.say(line)
        self._begun = time.monotonic()

    def epoch(self, record: Record, player: Player, row: Row) -> None:
        """One epoch of one run is done."""
        self._seconds += row["seconds"]
        epochs = player.arm.epochs
        self.say(
            f"seed {player.seed}  {player.arm.name}  epoch {row['epoch']}/{epochs:.4g}  "
            f"{row['mode']}  loss {row['train_loss']:.4f}  test {row['test_accuracy']:.2f} %  "
            f"{row['seconds']:.2f} s"
        )
        done = sum(row["seconds"] for row in record.epochs)
        left = max(0.0, expected_seconds(record) - done)
        pace = (time.monotonic() - self._begun) / self._seconds  # tests and savings included
        when = timedelta(seconds=round(left * pace))
        text = f"seed {player.seed}, {player.arm.name}"
        share = done / (done + left)
        self._bar.update(self._task, description=text, completed=share, left=f"{when} left")

    def seed_done(self, record: Record, seed: int) -> None:
        """All arms are through with a seed."""
        done = len(record.finished_seeds())
        self.say(f"seed {seed} done, {done} of {len(record.seeds)}")

    def stopped(self, record: Record, whole: bool) -> None:
        """On a signal; what is done is saved.

        Args:
            record: of the comparison.
            whole: whether the runs under way are, too; else they go on from an earlier epoch.
        """
        self._bar.stop()
        if record.finished_seeds():
            self.say(result_tables(record))
        again = f"go on with: {record.command}"
        saved = "all saved" if whole else "saved as it was between two epochs"
        self.say(f"stopped, {saved}; {again}{'' if '--resume' in again else ' --resume'}")

    def ends(self, record: Record, page: Path) -> None:
        """The comparison is done."""
        self._bar.stop()
        self.say("")
        self.say(result_tables(record))
        self.say("")
        for line in result_lines(record):
            self.say(line)
        self.say(f"the report is {page}")


def expected_seconds(record: Record) -> float:
    """Of all the training, by the pilot."""
    pilot = record.pilot
    plain = record.names("plain")[0]
    total = 0.0
    for arm in record.arms:
        name = arm["name"] if arm["role"] != "same time" else arm["of"]
        total += pilot[plain]["seconds"] * pilot[name]["ratio"]
    return total * len(record.seeds)
