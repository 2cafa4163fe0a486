"""All that a comparison did: what the tables, the report and a later process need of it."""

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from ..runs.atomic import write_atomically
from ..runs.parsing import of_json
from .front import Measured
from .packed import PACKED, RECORD, text_of
from .schema import unusable_part
from .verdict import Verdict, judge

FORMAT = 1


@dataclass
class Record:
    """A comparison, in plain values.

    Attributes:
        command: that made it.
        facts: versions and hardware.
        data: the task's `facts`: its name, what it counts and how many of them it has.
        settings: of plain training, by name; of earlier releases' records of the method.
        identity: what must be the same for another process to go on with it.
        arms: each arm's name, role, method (of a control), words and settings.
        seeds: of the runs that count.
        by_front: whether verdicts may be read off plain training's front where times came out
            uneven (`judge`); it was not so before it was decided on.
        kind: ``"comparison"``, or ``"sweep"``, whose test is on training samples held out.
        margin: in points: accuracies that differ by less are equal.
        target: test accuracy whose time is reported; None: plain training's mean less the margin.
        held_out: training samples held out to tune on, or None.
        trials: of the learning rates: arm, lr, seed, accuracy (on those held out), loss.
        tuned: the learning rate chosen for each arm; empty where none was tuned.
        pilot: each arm's `Timing`.
        left_out: the arms of a sweep with which the model cannot be trained, and why.
        epochs: one row for each epoch of each run: arm, seed and the metrics.
        dropped: of each finished run (``"ARM SEED"``) in which any was, how many steps dropped each
            layer.
    """

    command: str
    facts: dict[str, Any]
    data: dict[str, Any]
    settings: dict[str, Any]
    identity: dict[str, Any]
    arms: list[dict[str, Any]]
    seeds: list[int]
    margin: float
    by_front: bool = False
    kind: str = "comparison"
    target: float | None = None
    held_out: int | None = None
    trials: list[dict[str, Any]] = field(default_factory=list)
    tuned: dict[str, float] = field(default_factory=dict)
    pilot: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_text(self) -> str:
        """JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "Record":
        """The inverse of `as_text`.

        Raises:
            ValueError: it is none of ours, another release's, or damaged.
        """
        try:
            values = of_json(text, finite=True)
            known = values.pop("format")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError("it is no comparison of ldb") from None
        if known != FORMAT:
            raise ValueError(f"its format is {known!r}, and this release reads {FORMAT}")
        wrong = unusable_part(values)
        if wrong is not None:
            raise ValueError(f"it has no usable {wrong!r}")
        try:
            return cls(**values)
        except TypeError:
            raise ValueError("it is no comparison of ldb") from None

    def write(self, folder: Path) -> None:
        """Write ``comparison.json``."""
        write_atomically(folder / RECORD, self.as_text())

    @classmethod
    def read(cls, place: Path) -> "Record":
        """Read a record, plain or compressed.

        Args:
            place: the folder that `write` was given, or the record's file.

        Raises:
            UsageError: it is not there, or none of ours.
        """
        path = file_of(place)
        try:
            return cls.from_text(text_of(path))
        except (OSError, ValueError) as error:
            cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
            cure = "give the folder or the record of an ldb compare"
            raise UsageError(explain(f"cannot read {path}", cause, cure)) from None

    @property
    def unit(self) -> str:
        """What the data is counted in; earlier releases compared images alone."""
        return str(self.data.get("unit", "images"))

    @property
    def plain(self) -> str:
        """The name of plain training."""
        return self.names("plain")[0]

    @property
    def least_spread(self) -> float:
        """In points, one test sample's worth: no spread below it is believed."""
        return float(100 / self.data["test"])

    def arm(self, name: str) -> dict[str, Any]:
        """The entry of an arm."""
        return next(arm for arm in self.arms if arm["name"] == name)

    def names(self, role: str | None = None) -> list[str]:
        """The arms' names; with a role those that have it."""
        return [arm["name"] for arm in self.arms if role in (None, arm["role"])]

    def rows(self, arm: str, seed: int | None = None) -> list[dict[str, Any]]:
        """The epochs of an arm, in order; with a seed of that run alone."""
        return [row for row in self.epochs if row["arm"] == arm and seed in (None, row["seed"])]

    def finished_seeds(self) -> list[int]:
        """Seeds with which every arm has run to its end."""
        counts = {arm["name"]: -(-arm["settings"]["epochs"] // 1) for arm in self.arms}
        return [
            seed
            for seed in self.seeds
            if all(len(self.rows(name, seed)) == count for name, count in counts.items())
        ]

    def measured(self, arm: str) -> Measured:
        """Final accuracies and times of an arm's finished runs, by seed."""
        runs = [self.rows(arm, seed) for seed in self.finished_seeds()]
        settings = self.arm(arm)["settings"]
        # What changes from epoch to epoch is no disturbance then; earlier releases had a strategy
        # that followed the training.
        changing = settings.get("ramp", "constant") != "constant"
        changing = changing or settings.get("strategy") == "adaptive"
        return Measured(
            [rows[-1]["test_accuracy"] for rows in runs],
            [run_seconds(rows, changing) for rows in runs],
        )

    def front(self) -> list[Measured]:
        """Plain training, of every length that was run."""
        roles = ("plain", "shorter", "same time")
        return [self.measured(arm["name"]) for arm in self.arms if arm["role"] in roles]

    def verdicts(self) -> dict[str, Verdict]:
        """What was shown of each method."""
        equal = {arm["of"]: arm["name"] for arm in self.arms if arm["role"] == "same time"}
        return judge(
            self.measured(self.plain),
            {
                name: (self.measured(name), self.measured(equal[name]) if name in equal else None)
                for name in self.names("method")
            },
            self.front() if self.by_front else (),
            margin=self.margin,
            least_spread=self.least_spread,
        )

    def target_accuracy(self) -> float:
        """The test accuracy whose time is reported."""
        if self.target is not None:
            return self.target
        return statistics.mean(self.measured(self.plain).accuracy) - self.margin

    def seconds_to(self, arm: str, accuracy: float) -> list[float | None]:
        """Training seconds until the test accuracy first came to this, for each seed.

        None where it never did. Epochs are as fine as it can be said.
        """
        found: list[float | None] = []
        for seed in self.finished_seeds():
            rows = self.rows(arm, seed)
            times = itertools.accumulate(row["seconds"] for row in rows)
            pairs = zip(times, rows, strict=True)
            found.append(next((t for t, row in pairs if row["test_accuracy"] >= accuracy), None))
        return found


def file_of(place: Path) -> Path:
    """The file that holds a folder's record, which need not be there; a file is its own."""
    if not place.is_dir():
        return place
    packed = place / PACKED
    return packed if packed.exists() and not (place / RECORD).exists() else place / RECORD


def run_seconds(rows: Sequence[Mapping[str, Any]], changing: bool = False) -> float:
    """Training time of a run: of each mode its steps, times the median over its epochs of a step's.

    So an epoch during which the machine did something else does not count as the method's. The
    first epoch, in which things warm up, counts as one like the others of its mode.

    Args:
        rows: the metrics of its epochs, in order.
        changing: whether the drop epochs are to differ, by a ramp say: then each counts as it is,
            as do epochs in which periods of steps decide.

    Returns:
        Seconds, tests not included.

    Example:
        >>> rows = [{"mode": "full", "steps": 10, "seconds": s} for s in (9.0, 2.0, 2.0)]
        >>> run_seconds(rows)
        6.0
        >>> rows = [{"mode": "drop", "steps": 10, "seconds": s} for s in (1.0, 2.0, 6.0)]
        >>> run_seconds(rows, changing=True)
        9.0
    """
    apart = [row for row in rows if row["mode"] in (("drop", "mixed") if changing else ("mixed",))]
    rows = [row for row in rows if row not in apart]
    total: float = sum(row["seconds"] for row in apart)
    by_mode = 0.0
    for mode in dict.fromkeys(row["mode"] for row in rows):
        mine = [row for row in rows if row["mode"] == mode]
        # The run's first epoch, in which things warm up, has a part only where it is the only one.
        warm = mine[1:] if mine[0] is rows[0] and len(mine) > 1 else mine
        step = statistics.median(row["seconds"] / row["steps"] for row in warm)
        by_mode += sum(row["steps"] for row in mine) * step
    return total + by_mode
