"""What a comparison says while it runs."""

import shlex
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .record import Record
from .report.page import say
from .report.results import data_text, plan_lines, result_lines, result_tables, tuning_lines
from .tables import counted
from .task import whole_epochs
from .turns import Player, Row

# Where no bar shows that it goes on, a line does after so many seconds without one.
SILENCE = 600.0


class Telling:
    """One bar for what is under way on a terminal; elsewhere a line for each seed that is done.

    Every trial and every epoch is in the record and in the report.

    Args:
        console: where; standard output by default.
        clock: seconds since some moment.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic):
        self._console, self._clock = console or Console(), clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0, left="")
        self._done = 0.0  # in this process, in seconds that the pilot expects
        self._begun = 0.0
        self._said = clock()

    def say(self, text: str, wrap: bool = False) -> None:
        """One line; `wrap` lets a terminal break it between words, which no command stands."""
        say(self._console, text, whole=not (wrap and self._console.is_terminal))
        self._said = self._clock()

    def begins(self, record: Record, folder: Path) -> None:
        """The comparison begins, or goes on."""
        compared, seeds = ", ".join(record.names()), counted(len(record.seeds), "seed")
        self.say(f"comparing {compared} on {data_text(record)}, {seeds}; in {folder}", wrap=True)
        self._bar.start()

    def close(self) -> None:
        """The bar leaves the screen, whatever happened."""
        self._bar.stop()

    def passing(self, text: str) -> None:
        """Something that is soon replaced on a terminal; elsewhere it is said now and then."""
        self._bar.update(self._task, description=text, refresh=True)
        if not self._console.is_terminal and self._clock() - self._said > SILENCE:
            self.say(text)

    def trial(self, trial: Mapping[str, Any]) -> None:
        """A learning rate was tried."""
        found = "diverged" if trial["accuracy"] is None else f"{trial['accuracy']:.2f} % held out"
        self.passing(f"tuning {trial['arm']}: lr {trial['lr']:g} {found}")

    def planned(self, record: Record) -> None:
        """The pilot and the tuning are done."""
        for line in [*tuning_lines(record), *plan_lines(record)]:
            self.say(line, wrap=True)
        self._begun = self._clock()

    def epoch(self, record: Record, player: Player, row: Row) -> None:
        """One epoch of one run is done."""
        self._done += _expected(record)[player.arm.name]
        share, left = self._left(record)
        self._bar.update(self._task, completed=share, left=left)
        self.passing(
            f"seed {player.seed}, {player.arm.name}, "
            f"epoch {row['epoch']}/{player.arm.epochs:.4g}: {row['test_accuracy']:.2f} %"
        )

    def _left(self, record: Record) -> tuple[float, str]:
        """The share that is done, and how long the rest will take at the pace so far."""
        each = _expected(record)
        done = sum(each[row["arm"]] for row in record.epochs)
        runs = [each[arm["name"]] * whole_epochs(arm["settings"]["epochs"]) for arm in record.arms]
        left = max(0.0, sum(runs) * len(record.seeds) - done)
        # Tests and savings included; a seed whose runs another process ended has taken none here.
        pace = (self._clock() - self._begun) / self._done if self._done else 1.0
        return done / (done + left), f"{timedelta(seconds=round(left * pace))} left"

    def seed_done(self, record: Record, seed: int) -> None:
        """All arms are through with a seed."""
        done, all_of_them = len(record.finished_seeds()), len(record.seeds)
        if not self._console.is_terminal:
            more = f"; about {self._left(record)[1]}" if done < all_of_them else ""
            self.say(f"seed {seed} done, {done} of {all_of_them}{more}")

    def stopped(self, record: Record, whole: bool, again: str) -> None:
        """On a signal; what is done is saved, and `whole` the runs under way, too.

        Else these go on from an earlier epoch. `again` is the command that goes on.
        """
        self._bar.stop()
        if record.finished_seeds():
            self.say(result_tables(record))
        saved = "all saved" if whole else "saved as it was between two epochs"
        self.say(f"stopped, {saved}; go on with: {again}")

    def ends(self, record: Record, page: Path) -> None:
        """The comparison is done."""
        self._bar.stop()
        self.say("")
        self.say(result_tables(record))
        self.say("")
        for line in result_lines(record):
            self.say(line, wrap=True)
        self.say(f"the report is {page}")


def _expected(record: Record) -> dict[str, float]:
    """Seconds that the pilot expects of an epoch of each arm, as if all of a run's were equal."""
    plain = record.pilot[record.plain]["seconds"]
    found = {}
    for arm in record.arms:
        timed = arm["of"] if arm["role"] == "same time" else arm["name"]
        epochs = whole_epochs(arm["settings"]["epochs"])
        found[arm["name"]] = plain * record.pilot[timed]["ratio"] / epochs
    return found


def resuming(command: str, folder: Path, resumes: bool) -> str:
    """The command that goes on with a comparison which another one began, or went on with.

    Args:
        command: that one.
        folder: the comparison's, which may have been named by the time of day.
        resumes: whether that one went on with it already.

    Example:
        >>> resuming("ldb compare --data digits --overwrite", Path("runs/a b"), False)
        "ldb compare --data digits --out 'runs/a b' --resume"
        >>> resuming("python mine.py", Path("runs/a"), False)
        "python mine.py, with out='runs/a', resume=True"
        >>> resuming("python mine.py", Path("runs/a"), True)
        'python mine.py'
    """
    if not command.startswith("ldb "):
        return command if resumes else f"{command}, with out={str(folder)!r}, resume=True"
    words = [word for word in shlex.split(command) if word not in ("--overwrite", "--resume")]
    if not any(word.split("=")[0] == "--out" for word in words):
        words += ["--out", str(folder)]
    return shlex.join([*words, "--resume"])
