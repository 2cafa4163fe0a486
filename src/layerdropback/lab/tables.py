"""A comparison as tables and sentences."""

import statistics
from collections.abc import Sequence
from typing import Any

from . import sweep
from .record import Record
from .statistics import Interval, interval
from .verdict import SAME_TIME, Compared

COLUMNS = (
    "arm",
    "n",
    "final accuracy, %",
    "to plain, points",
    "time to finish, s",
    "of plain's",
    "s to target",
    "s per epoch, full",
    "s per epoch, drop",
    "saved tensors, MiB, full / drop",
    "gradients / states, MiB",
)

# On a terminal, where 100 columns are to be enough.
SHOWN = (
    "arm",
    "n",
    "accuracy, %",
    "to plain, points",
    "of plain's time",
    "held MiB",
)

HELD = (
    "held MiB: tensors saved for the backward pass + gradients + optimizer states, each at its most"
)


def comparison_rows(record: Record) -> list[list[str]]:
    """One row of `COLUMNS` for each arm, over the seeds that all arms have finished."""
    least = 100 / record.data["test"]
    plain = record.measured(record.names("plain")[0])
    target = record.target_accuracy()
    rows = []
    for arm in record.arms:
        name = arm["name"]
        mine = record.measured(name)
        compared = None if arm["role"] == "plain" else Compared.between(mine, plain, least)
        accuracy = interval(mine.accuracy, least)
        reached = record.seconds_to(name, target)
        got = [seconds for seconds in reached if seconds is not None]
        rows.append(
            [
                name,
                str(len(mine.accuracy)),
                accuracy.as_text(".2f"),
                "" if compared is None else compared.accuracy.as_text("+.2f"),
                f"{statistics.mean(mine.seconds):.4g}",
                "1" if compared is None else compared.time.as_text(".2f"),
                f"{statistics.median(got):.4g} ({len(got)} of {len(reached)})" if got else "never",
                _per_epoch(record, name, ("full",)),
                _per_epoch(record, name, ("drop", "mixed")),
                _saved(record, name),
                " / ".join(map(_mebibytes, _moving(record, name))),
            ]
        )
    return rows


def comparison_table(record: Record) -> str:
    """What matters most, narrow enough for a terminal; a report has all of `COLUMNS`."""
    least = 100 / record.data["test"]
    plain = record.measured(record.names("plain")[0])
    rows = []
    for arm in record.arms:
        mine = record.measured(arm["name"])
        compared = None if arm["role"] == "plain" else Compared.between(mine, plain, least)
        rows.append(
            [
                arm["name"],
                str(len(mine.accuracy)),
                _with_reach(interval(mine.accuracy, least)),
                "" if compared is None else compared.accuracy.as_text("+.2f"),
                "1" if compared is None else compared.time.as_text(".2f"),
                " + ".join(_mebibytes(part) for part in _held(record, arm["name"])),
            ]
        )
    return f"{markdown_table(SHOWN, rows)}\n{HELD}"


def result_tables(record: Record) -> str:
    """What a comparison or a sweep found, as tables for a terminal."""
    if record.kind == "sweep":
        return markdown_table(sweep.COLUMNS, sweep.sweep_rows(record))
    return comparison_table(record)


def result_lines(record: Record) -> list[str]:
    """The same in sentences."""
    return sweep.sweep_lines(record) if record.kind == "sweep" else verdict_lines(record)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table.

    Example:
        >>> print(markdown_table(["arm", "n"], [["plain", "3"]]))
        | arm   | n |
        | ----- | - |
        | plain | 3 |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def plan_lines(record: Record) -> list[str]:
    """What the pilot found and the tuning chose, and what each arm is."""
    lines = []
    for arm in record.arms:
        name = arm["name"]
        text = f"{name}: {arm['says']}, {arm['settings']['epochs']:.4g} epochs"
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
    n = len(record.finished_seeds())
    lines = [f"{name}: {verdict.text}" for name, verdict in record.verdicts().items()]
    lines.append(
        f"n = {n} seed{'s' if n != 1 else ''}; 95 % t intervals over seeds, paired; accuracies "
        f"within {record.margin:g} point{'s' if record.margin != 1 else ''} and times within "
        f"{100 * SAME_TIME:.0f} % are equal; "
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


def _with_reach(found: Interval) -> str:
    """A mean and how far its interval reaches to either side: shorter than both of its ends."""
    reach = "" if found.n < 2 else f" +- {found.high - found.mean:.2f}"
    return f"{found.mean:.2f}{reach}"


def _per_epoch(record: Record, arm: str, modes: tuple[str, ...]) -> str:
    """Median and ends, without each run's first epoch, which warms up, and a part of an epoch."""
    whole = next(entry for entry in record.arms if entry["name"] == arm)["settings"]["epochs"]
    seconds = [
        row["seconds"]
        for row in record.epochs
        if row["arm"] == arm and row["mode"] in modes and 1 < row["epoch"] <= whole
    ]
    if not seconds:
        return ""
    ends = f"[{min(seconds):.3g}, {max(seconds):.3g}]"
    return f"{statistics.median(seconds):.3g} {ends}, n = {len(seconds)}"


def _saved(record: Record, arm: str) -> str:
    """Of a full and of a drop step; a dash where an arm's run has no full epoch."""
    saved = _timing(record, arm)["saved"]
    found = [_mebibytes(saved[mode]) for mode in ("full", "drop", "mixed") if mode in saved]
    return " / ".join(found if "full" in saved else ["-", *found])


def _moving(record: Record, arm: str) -> list[float]:
    """Bytes of gradients and of states, each at its most; nothing where they were not counted.

    The states' are counted after each epoch, too: some are made when a layer first trains.
    """
    timing = _timing(record, arm)
    if timing.get("gradients") is None:
        return []
    later = (row.get("state_bytes", 0) for row in record.rows(arm))
    return [timing["gradients"], max([timing["states"], *later])]


def _held(record: Record, arm: str) -> list[float]:
    """What is saved for the backward pass and what moves the weights, each at its most."""
    return [max(_timing(record, arm)["saved"].values()), *_moving(record, arm)]


def _timing(record: Record, arm: str) -> dict[str, Any]:
    """What the pilot found; plain training of a method's time was not in it, and is as plain."""
    of = {entry["name"]: entry["of"] for entry in record.arms if entry["role"] == "same time"}
    return record.pilot[record.names("plain")[0] if arm in of else arm]


def _mebibytes(count: float) -> str:
    found = count / 2**20
    return f"{found:.3g}" if found < 999.5 else f"{found:,.0f}"
