"""Plots of runs."""

import itertools
import statistics
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..drawing import as_svg, legend_above, new_figure
from ..front import Measured, at_time
from ..sweep import Point
from .reading import Run


def loss_curves(runs: Sequence[Run]) -> str:
    """Training loss by step and by time."""
    figure, (by_step, by_time) = new_figure(columns=2)
    for run, colour, first in _coloured(runs):
        losses = [row["train_loss"] for row in run.rows]
        steps = list(accumulate(row["steps"] for row in run.rows))
        label = run.label if first else None
        by_step.plot(steps, losses, color=colour, linewidth=1, label=label)
        by_time.plot(_times(run), losses, color=colour, linewidth=1)
    by_step.set(xlabel="optimizer steps", ylabel="training loss")
    by_time.set(xlabel="training time, s")
    positive = all(row["train_loss"] > 0 for run in runs for row in run.rows)
    if positive:
        for axes in (by_step, by_time):
            axes.set_yscale("log")
    legend_above(figure, by_step)
    return as_svg(figure, "Training loss of each run, by optimizer step and by training time")


def accuracy_by_time(runs: Sequence[Run], target: float | None = None) -> str:
    """Test accuracy after each epoch, by training time; each run's end is a dot."""
    figure, (axes,) = new_figure()
    for run, colour, first in _coloured(runs):
        times = _times(run)
        found = [row["test_accuracy"] for row in run.rows]
        label = run.label if first else None
        axes.plot(times, found, color=colour, linewidth=1, alpha=0.7, label=label)
        axes.plot(times[-1:], found[-1:], color=colour, marker="o", markersize=4)
    if target is not None:
        axes.axhline(target, color="0.5", linewidth=0.8, linestyle=":")
    ends = [run.rows[-1]["test_accuracy"] for run in runs]
    lowest = min(row["test_accuracy"] for run in runs for row in run.rows)
    # The first epochs would press everything that matters into a line.
    axes.set_ylim(bottom=max(lowest - 1, min(ends) - 4 * max(2.0, max(ends) - min(ends))))
    axes.set_ylim(top=min(100.5, axes.get_ylim()[1]))
    axes.set(xlabel="training time, s", ylabel="test accuracy, %")
    legend_above(figure, axes)
    return as_svg(figure, "Test accuracy of each run by training time")


def front(points: Sequence[Point]) -> str:
    """Accuracy against time of every arm of a sweep, and plain training's own front."""
    figure, (axes,) = new_figure(height=4.2)
    plain = [point for point in points if point.over_plain is None]
    runs = [Measured([point.accuracy.mean], [point.time]) for point in plain]
    between = np.geomspace(plain[0].time, plain[-1].time, 60)
    line = [at_time(runs, time)[0] for time in between]
    axes.plot(100 * between, line, color="0.4", linestyle="--", linewidth=1)
    axes.plot(
        [100 * point.time for point in plain],
        [point.accuracy.mean for point in plain],
        color="0.4",
        marker="s",
        linestyle="none",
        label="plain training",
    )
    kinds = list(dict.fromkeys(point.kind for point in points if point.over_plain is not None))
    for number, kind in enumerate(kinds):
        mine = [point for point in points if point.kind == kind and point.over_plain is not None]
        reach = [0 if point.accuracy.n < 2 else _reach(point) for point in mine]
        times = [100 * point.time for point in mine]
        means = [point.accuracy.mean for point in mine]
        colour = f"C{number % 10}"
        axes.errorbar(times, means, yerr=reach, color=colour, fmt="o", markersize=5, label=kind)
        for point, time, mean in zip(mine, times, means, strict=True):
            axes.annotate(
                f"{point.rate:g}", (time, mean), (5, 4), textcoords="offset points", fontsize=7
            )
    best = [point for point in points if point.on_front]
    axes.plot(
        [100 * point.time for point in best],
        [point.accuracy.mean for point in best],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        color="0.2",
        label="Pareto front",
    )
    axes.set(xlabel="training time, % of plain's", ylabel="accuracy, %")
    legend_above(figure, axes)
    return as_svg(figure, "Accuracy against training time; numbers are drop rates")


def _reach(point: Point) -> float:
    return point.accuracy.high - point.accuracy.mean


def phases(runs: Sequence[Run]) -> str:
    """A step's time by phase, of each label and mode: medians over epochs and seeds."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for number, row in enumerate(run.rows):
            if number > 0 or len(run.rows) == 1:  # the first one warms up
                rows.setdefault(f"{run.label}, {row['mode']}", []).append(row)
    figure, (axes,) = new_figure(height=0.9 + 0.32 * len(rows))
    left = [0.0] * len(rows)
    names = list(rows)
    phases = list(dict.fromkeys(p for found in rows.values() for row in found for p in _parts(row)))
    shades = itertools.cycle(("#bbbbbb", "#7fa8d1", "#d1867f", "#8fbf8f"))
    for phase, shade in zip(phases, shades, strict=False):
        widths = [
            statistics.median(1000 * _parts(row).get(phase, 0.0) / row["steps"] for row in found)
            for found in rows.values()
        ]
        axes.barh(names, widths, left=left, color=shade, label=phase)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="ms per step (medians over epochs)")
    legend_above(figure, axes, columns=4)
    return as_svg(figure, "Time of a step by phase, for each arm and mode")


def _parts(row: dict[str, Any]) -> dict[str, float]:
    """Seconds by phase; a task that does not tell phases has whole steps."""
    return row.get("phases") or {"step": row["seconds"]}


def updates(runs: Sequence[Run]) -> str | None:
    """Share of a run's steps that updated each layer; None where no run dropped any.

    Of many arms, as a sweep has, the first four: more have no room beside each other.
    """
    known: dict[str, list[Run]] = {}
    for run in runs:
        if run.dropped:
            known.setdefault(run.label, []).append(run)
    if not known:
        return None
    known = dict(list(known.items())[:4])
    layers = max((len(run.dropped or {}) for found in known.values() for run in found), default=1)
    figure, panels = new_figure(columns=len(known), height=min(14.0, 1.0 + 0.13 * layers))
    for axes, (label, found) in zip(panels, known.items(), strict=True):
        names = list(found[0].dropped or {})
        shares = [
            statistics.mean(1 - (run.dropped or {})[name] / max(1, run.steps) for run in found)
            for name in names
        ]
        axes.barh(names, [100 * share for share in shares], color="#7fa8d1")
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.tick_params(axis="y", labelsize=5)
        axes.set(xlabel="% of steps", title=label, xlim=(0, 100))
    return as_svg(figure, "Share of the steps in which each layer was updated")


def _times(run: Run) -> list[float]:
    return list(accumulate(row["seconds"] for row in run.rows))


def _coloured(runs: Sequence[Run]) -> list[tuple[Run, Any, bool]]:
    """Each run with its label's colour, and whether it is the first of that label."""
    labels = list(dict.fromkeys(run.label for run in runs))
    seen: set[str] = set()
    found = []
    for run in runs:
        found.append((run, f"C{labels.index(run.label) % 10}", run.label not in seen))
        seen.add(run.label)
    return found
