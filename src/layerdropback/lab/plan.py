"""How arms are compared: how often, with which tolerance, and where it is written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runs.folder import writable
from ..runs.machine import command_line, machine
from ..runs.reasons import require
from .arms import Arm
from .record import Record
from .task import Task


@dataclass(frozen=True)
class Plan:
    """How arms are compared.

    Attributes:
        seeds: of the runs that count.
        margin: in points, fixed before the runs: accuracies that differ by less are equal.
        lr_grid: learning rates to tune each arm's with, ascending; empty: all have the settings'.
        tune_seeds: runs of each learning rate, with seeds of their own.
        target: test accuracy whose time is reported.
        kind: ``"comparison"``, or ``"sweep"``, for which training images stand in for the test's.
    """

    seeds: tuple[int, ...]
    margin: float = 0.5
    lr_grid: tuple[float, ...] = ()
    tune_seeds: int = 1
    target: float | None = None
    kind: str = "comparison"

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense.

        Example:
            >>> Plan(seeds=()).check()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --seeds 0 is not usable. Cause: \
a whole number from 1 to 1000 is needed. Cure: give one.
        """
        number = "a whole number from 1 to 1000 is needed"
        require(1 <= len(self.seeds) <= 1000, f"--seeds {len(self.seeds)}", number)
        require(1 <= self.tune_seeds <= 1000, f"--tune-seeds {self.tune_seeds}", number)
        good = 0 < self.margin <= 100
        require(good, f"--margin {self.margin:g}", "points in (0, 100] are needed")
        good = self.target is None or 0 < self.target <= 100
        require(good, f"--target {self.target}", "a percentage in (0, 100] is needed")
        grid = self.lr_grid
        shown = f"--lr-grid {','.join(format(rate, 'g') for rate in grid)}"
        good = not grid or (len(grid) >= 3 and all(0 < rate < 1e30 for rate in grid))
        require(good, shown, "three learning rates above 0, or more, are needed")
        require(list(grid) == sorted(set(grid)), shown, "they are to rise")
        known = self.kind in ("comparison", "sweep")
        require(known, f"kind={self.kind!r}", "it is comparison or sweep")

    def identity(self, task: Task, arms: Sequence[Arm]) -> dict[str, Any]:
        """What must be the same for another process to go on with a comparison.

        Args:
            task: what is learnt.
            arms: plain training first; of the others what differs from it.
        """
        first, *others = (arm.as_dict(task) for arm in arms)
        shared = first["settings"]
        differing = {
            f"{arm['name']}: {name}": value
            for arm in others
            for name, value in arm["settings"].items()
            if value != shared.get(name)
        }
        own = {"epochs": shared["epochs"], "lr": shared["lr"], "plain": task.says(arms[0].way)}
        decides: dict[str, Any] = {"margin": self.margin, "lr_grid": list(self.lr_grid)}
        decides |= {"tune_seeds": self.tune_seeds, "target": self.target}
        kind = {} if self.kind == "comparison" else {"kind": self.kind}
        return own | task.identity() | differing | kind | decides

    def new_record(self, task: Task, arms: Sequence[Arm]) -> Record:
        """The record of a comparison in which nothing was run yet."""
        made = [arm.as_dict(task) for arm in arms]
        return Record(
            command=command_line(),
            facts=machine(task.device),
            data=task.facts(),
            settings=made[0]["settings"],
            identity=self.identity(task, arms),
            arms=made,
            seeds=list(self.seeds),
            margin=self.margin,
            by_front=True,
            kind=self.kind,
            target=self.target,
        )


@dataclass(frozen=True)
class Place:
    """Where a comparison is written.

    Attributes:
        out: its folder; None: a new one under ``runs``.
        overwrite: replace what is there.
        resume: go on with what is there.
    """

    out: Path | None = None
    overwrite: bool = False
    resume: bool = False

    def folder(self) -> Path:
        """The folder; it is not made yet.

        Raises:
            UsageError: something is there already, and nothing says what to do with it.
        """
        if self.out is None:
            return Path("runs") / f"compare-{time.strftime('%Y%m%d-%H%M%S')}"
        return writable(self.out, self.resume or self.overwrite, "--resume, or --overwrite")
