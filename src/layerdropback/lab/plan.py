"""How arms are compared: how often, with which tolerance, and where it is written.

Nothing heavy is imported: the command line looks at all of this before torch is there.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, explain
from ..option import is_count, is_number
from ..runs.folder import CHECKPOINTS, SETTINGS, writable
from ..runs.leaving import LOCK
from ..runs.reasons import require
from .packed import PACKED, RECORD

_FEW = "a whole number from 1 to 1000 is needed"


def seeds_from(first: int, count: int) -> tuple[int, ...]:
    """Some seeds, one after the other.

    Raises:
        UsageError: they are too many, or none.

    Example:
        >>> seeds_from(3, 2)
        (3, 4)
    """
    require(1 <= count <= 1000, f"--seeds {count}", _FEW)
    return tuple(range(first, first + count))


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
        require(1 <= len(self.seeds) <= 1000, f"--seeds {len(self.seeds)}", _FEW)
        good = all(is_count(seed) and seed < 2**64 for seed in self.seeds)
        shown = f"seeds={list(self.seeds)!r}"
        require(good, shown, "they are whole numbers in [0, 2**64)")
        require(len(set(self.seeds)) == len(self.seeds), shown, "one comes twice")
        good = is_count(self.tune_seeds, 1) and self.tune_seeds <= 1000
        require(good, f"--tune-seeds {self.tune_seeds}", _FEW)
        good = is_number(self.margin) and 0 < self.margin <= 100
        require(good, f"--margin {_shown(self.margin)}", "points in (0, 100] are needed")
        good = self.target is None or (is_number(self.target) and 0 < self.target <= 100)
        require(good, f"--target {self.target}", "a percentage in (0, 100] is needed")
        grid = self.lr_grid
        shown = f"--lr-grid {','.join(map(_shown, grid))}"
        good = all(is_number(rate) and 0 < rate < 1e30 for rate in grid) and len(grid) not in (1, 2)
        require(good, shown, "three learning rates above 0, or more, are needed")
        require(list(grid) == sorted(set(grid)), shown, "they are to rise")
        known = self.kind in ("comparison", "sweep")
        require(known, f"kind={self.kind!r}", "it is comparison or sweep")


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
        folder = writable(self.out, self.resume or self.overwrite, "--resume, or --overwrite")
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        ours = {RECORD, PACKED, CHECKPOINTS, LOCK}
        if self.resume and there and (SETTINGS in there or not there & ours):
            kind = "a run of ldb train" if SETTINGS in there else "something else"
            fact = f"--out {self.out} holds no comparison"
            raise UsageError(explain(fact, f"{kind} is in it", "give another folder"))
        return folder


def _shown(number: object) -> str:
    return format(number, "g") if isinstance(number, int | float) else repr(number)
