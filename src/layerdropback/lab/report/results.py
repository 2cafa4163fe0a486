"""What a comparison found, as tables and sentences."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import sweep
from ..front import Measured
from ..record import Record
from ..statistics import Interval, interval
from ..tables import Columns, counted, mebibytes, table_of
from ..verdict import SAME_TIME, Compared


@dataclass(frozen=True)
class Found:
    """What one arm gave, over the seeds that all arms have finished.

    Attributes:
        record: of the comparison.
        name: the arm's.
        measured: by seed.
        accuracy: final, with its interval.
        compared: with plain training; None for that itself.
    """

    record: Record
    name: str
    measured: Measured
    accuracy: Interval
    compared: Compared | None


def found_of(record: Record) -> list[Found]:
    """What each arm gave."""
    least, plain = record.least_spread, record.measured(record.plain)
    found = []
    for arm in record.arms:
        mine = record.measured(arm["name"])
        compared = None if arm["role"] == "plain" else Compared.between(mine, plain, least)
        found.append(Found(record, arm["name"], mine, interval(mine.accuracy, least), compared))
    return found


def _points(arm: Found) -> str:
    return "" if arm.compared is None else arm.compared.accuracy.as_text("+.2f")


def _time(arm: Found) -> str:
    return "1" if arm.compared is None else arm.compared.time.as_text(".2f")


def _with_reach(arm: Found) -> str:
    """A mean and how far its interval reaches to either side: shorter than both of its ends."""
    found = arm.accuracy
    reach = "" if found.n < 2 else f" +- {found.high - found.mean:.2f}"
    return f"{found.mean:.2f}{reach}"


def _to_target(arm: Found) -> str:
    reached = arm.record.seconds_to(arm.name, arm.record.target_accuracy())
    got = [seconds for seconds in reached if seconds is not None]
    return f"{statistics.median(got):.4g} ({len(got)} of {len(reached)})" if got else "never"


def _per_epoch(arm: Found, modes: tuple[str, ...]) -> str:
    """Median and ends, without each run's first epoch, which warms up, and a part of an epoch."""
    whole = arm.record.arm(arm.name)["settings"]["epochs"]
    seconds = [
        row["seconds"]
        for row in arm.record.rows(arm.name)
        if row["mode"] in modes and 1 < row["epoch"] <= whole
    ]
    if not seconds:
        return ""
    ends = f"[{min(seconds):.3g}, {max(seconds):.3g}]"
    return f"{statistics.median(seconds):.3g} {ends}, n = {len(seconds)}"


def _timing(arm: Found) -> dict[str, Any]:
    """What the pilot found; plain training of a method's time was not in it, and is as plain."""
    record = arm.record
    same = record.arm(arm.name)["role"] == "same time"
    return record.pilot[record.plain if same else arm.name]


def _saved(arm: Found) -> str:
    """Of a full and of a drop step; a dash where an arm's run has no full epoch."""
    saved = _timing(arm)["saved"]
    found = [mebibytes(saved[mode]) for mode in ("full", "drop", "mixed") if mode in saved]
    return " / ".join(found if "full" in saved else ["-", *found])


def _moving(arm: Found) -> list[float]:
    """Bytes of gradients and of states, each at its most; nothing where they were not counted.

    The states' are counted after each epoch, too: some are made when a layer first trains.
    """
    timing = _timing(arm)
    if timing.get("gradients") is None:
        return []
    later = (row.get("state_bytes", 0) for row in arm.record.rows(arm.name))
    return [timing["gradients"], max([timing["states"], *later])]


def _held(arm: Found) -> list[float]:
    """What is saved for the backward pass and what moves the weights, each at its most."""
    return [max(_timing(arm)["saved"].values()), *_moving(arm)]


# Of a report.
COLUMNS: Columns[Found] = {
    "arm": lambda arm: arm.name,
    "n": lambda arm: str(arm.accuracy.n),
    "final accuracy, %": lambda arm: arm.accuracy.as_text(".2f"),
    "to plain, points": _points,
    "time to finish, s": lambda arm: f"{statistics.mean(arm.measured.seconds):.4g}",
    "of plain's": _time,
    "s to target": _to_target,
    "s per epoch, full": partial(_per_epoch, modes=("full",)),
    "s per epoch, drop": partial(_per_epoch, modes=("drop", "mixed")),
    "saved tensors, MiB, full / drop": _saved,
    "gradients / states, MiB": lambda arm: " / ".join(map(mebibytes, _moving(arm))),
}

# On a terminal, where 100 columns are to be enough.
SHOWN: Columns[Found] = {
    "arm": lambda arm: arm.name,
    "n": lambda arm: str(arm.accuracy.n),
    "accuracy, %": _with_reach,
    "to plain, points": _points,
    "of plain's time": _time,
    "held MiB": lambda arm: " + ".join(map(mebibytes, _held(arm))),
}

HELD = (
    "held MiB: tensors saved for the backward pass + gradients + optimizer states, each at its most"
)


def result_tables(record: Record) -> str:
    """What a comparison or a sweep found, narrow enough for a terminal."""
    if record.kind == "sweep":
        return table_of(sweep.COLUMNS, sweep.points(record))
    return f"{table_of(SHOWN, found_of(record))}\n{HELD}"


def result_lines(record: Record) -> list[str]:
    """The same in sentences."""
    return sweep.sweep_lines(record) if record.kind == "sweep" else verdict_lines(record)


def data_text(record: Record) -> str:
    """What is trained and tested on."""
    data, kind = record.data, "held-out" if record.kind == "sweep" else "test"
    counts = f"{data['train']:,} training and {data['test']:,} {kind} {record.unit}"
    return f"{data['name']}: {counts}"


def plan_lines(record: Record) -> list[str]:
    """What the pilot found and the tuning chose, and what each arm is."""
    lines = []
    for arm in record.arms:
        name = arm["name"]
        epochs = arm["settings"]["epochs"]
        text = f"{name}: {arm['says']}, {epochs:.4g} epoch{'' if epochs == 1 else 's'}"
        if name in record.tuned:
            text += (
                f", lr {record.tuned[name]:g} (tuned on {record.held_out:,} {record.unit} held out)"
            )
        if name in record.pilot and arm["role"] != "plain":
            timing = record.pilot[name]
            text += (
                f"; expected to take {timing['ratio']:.3f} of plain's time "
                f"(pilot: standard error {100 * timing['error']:.1f} %, n = {timing['n']})"
            )
        lines.append(text)
    return lines


def verdict_lines(record: Record) -> list[str]:
    """The verdict on each method, in sentences."""
    lines = [f"{name}: {verdict.text}" for name, verdict in record.verdicts().items()]
    points = f"{record.margin:g} point{'s' if record.margin != 1 else ''}"
    lines.append(
        f"n = {counted(len(record.finished_seeds()), 'seed')}; 95 % t intervals over seeds, "
        f"paired; accuracies within {points} and times within {100 * SAME_TIME:.0f} % are equal; "
        f"target {record.target_accuracy():.2f} %"
    )
    return lines


def tuning_lines(record: Record) -> list[str]:
    """How the learning rates that were tried did, an arm a line."""
    lines = []
    for name in dict.fromkeys(trial["arm"] for trial in record.trials):
        tried: dict[float, list[float | None]] = {}
        for trial in record.trials:
            if trial["arm"] == name:
                tried.setdefault(trial["lr"], []).append(trial["accuracy"])
        found = [f"lr {rate:g} {_mean_of_trials(tried[rate])}" for rate in sorted(tried)]
        lines.append(f"tuning {name}, on {record.unit} held out: {', '.join(found)}")
    return lines


def _mean_of_trials(accuracies: Sequence[float | None]) -> str:
    """A trial that diverged counts as nothing learnt, as it does where the best is chosen."""
    if None in accuracies:
        return "diverged"
    return f"{statistics.fmean(found or 0.0 for found in accuracies):.2f} %"
