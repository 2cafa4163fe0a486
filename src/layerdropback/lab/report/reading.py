"""Runs from their folders: those of ``ldb train`` and of ``ldb compare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, explain
from ...runs.folder import LINES, MACHINE, SETTINGS, read_plain
from ...runs.parsing import of_json
from ..packed import RECORD
from ..record import Record, file_of
from ..schema import are_facts, unusable_metric


@dataclass(frozen=True)
class Run:
    """One arm with one seed.

    Attributes:
        label: the arm's name, or the folder's.
        seed: of the run.
        rows: the metrics of its epochs.
        dropped: for each layer how many steps dropped it, where that is known.
    """

    label: str
    seed: int
    rows: list[dict[str, Any]]
    dropped: dict[str, int] | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs."""
        return sum(row["steps"] for row in self.rows)


@dataclass(frozen=True)
class Source:
    """A folder, with what its runs depend on.

    Attributes:
        folder: as it was given; a comparison's may be its record's file.
        command: that made it.
        facts: versions and hardware.
        settings: of each label.
        runs: in it.
        record: of a comparison; None for a run of ``ldb train``.
    """

    folder: Path
    command: str
    facts: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    runs: list[Run]
    record: Record | None


def read_source(folder: Path) -> Source:
    """Read a folder, or a record's file.

    Raises:
        UsageError: it holds no run, or nothing that was finished.
    """
    if folder.is_file() or file_of(folder).exists():
        return _comparison(folder)
    if (folder / LINES).exists() and (folder / SETTINGS).exists():
        return _training(folder)
    cause = f"it holds neither {RECORD} nor {LINES} with {SETTINGS}"
    cure = "give the folder of an ldb train or ldb compare, or a record's file"
    raise UsageError(explain(f"{folder} holds no run", cause, cure))


def _comparison(folder: Path) -> Source:
    record = Record.read(folder)
    runs = [
        Run(name, seed, rows, record.dropped.get(f"{name} {seed}"))
        for name in record.names()
        for seed in record.seeds
        if (rows := record.rows(name, seed))
    ]
    if not record.finished_seeds():
        fact = f"{folder} has no finished seed yet"
        raise UsageError(explain(fact, "the comparison was stopped", "go on with --resume"))
    settings = {arm["name"]: arm["settings"] for arm in record.arms}
    return Source(folder, record.command, record.facts, settings, runs, record)


def _training(folder: Path) -> Source:
    settings = read_plain(folder / SETTINGS)
    try:
        lines = (folder / LINES).read_text(encoding="utf-8").splitlines()
        rows = [_row(of_json(line, finite=True), number) for number, line in enumerate(lines, 1)]
        machine = of_json((folder / MACHINE).read_text(encoding="utf-8"))
        if not are_facts(machine):
            raise ValueError(f"{MACHINE} does not say what a run's does")
    except (OSError, ValueError) as error:
        fact = f"cannot read the run in {folder}"
        raise UsageError(explain(fact, str(error).rstrip("."), "give another folder")) from None
    if not rows:
        fact, cause = f"{folder} has no finished epoch yet", f"{LINES} is empty"
        raise UsageError(explain(fact, cause, "let it train for one"))
    label = folder.resolve().name
    facts = {name: machine[name] for name in ("versions", "hardware") if name in machine}
    runs = [Run(label, settings.get("seed", 0), rows)]
    command = str(machine.get("command", ""))
    return Source(folder, command, facts, {label: settings}, runs, None)


def _row(values: Any, number: int) -> dict[str, Any]:
    """The metrics of an epoch.

    Raises:
        ValueError: they cannot be used.
    """
    wrong = unusable_metric(values)
    if wrong is not None:
        what = f"no usable {wrong!r}" if wrong else "no metrics"
        raise ValueError(f"line {number} of {LINES} has {what}")
    found: dict[str, Any] = values
    return found
