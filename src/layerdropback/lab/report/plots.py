"""Plots of runs."""

import itertools
import statistics
from collections.abc import Sequence
from statistics import fmean
from textwrap import fill
from typing import Any

import numpy as np

from ..sweep import Point, plain_curve
from .drawing import COLOURS, as_svg, legend_above, new_figure, stacked_bars
from .reading import Run

# Characters of layers' names that have room in a figure, of all panels together.
_LABEL = 80

# Colour alone does not say to everyone which arm a line is.
_LINES = ("-", "--", "-.")


def loss_curves(runs: Sequence[Run]) -> str:
    """Training loss by step and by time."""
    figure, (by_step, by_time) = new_figure(columns=2)
    _curves(by_step, runs, "steps", "train_loss")
    _curves(by_time, runs, "seconds", "train_loss")
    by_step.set(xlabel="optimizer steps", ylabel="training loss")
    by_time.set(xlabel="training time, s")
    if all(row["train_loss"] > 0 for run in runs for row in run.rows):
        for axes in (by_step, by_time):
            axes.set_yscale("log")
    legend_above(figure, by_step)
    return as_svg(figure, "Training loss of each arm, by optimizer step and by training time")


def accuracy_by_time(runs: Sequence[Run], target: float | None = None) -> str:
    """Test accuracy after each epoch, by training time; each arm's end is a dot."""
    figure, (axes,) = new_figure()
    _curves(axes, runs, "seconds", "test_accuracy")
    if target is not None:
        axes.axhline(target, color="black", alpha=0.6, linewidth=0.8, linestyle=":")
    ends = [run.rows[-1]["test_accuracy"] for run in runs]
    lowest = min(row["test_accuracy"] for run in runs for row in run.rows)
    # The first epochs would press everything that matters into a line.
    axes.set_ylim(bottom=max(lowest - 1, min(ends) - 4 * max(2.0, max(ends) - min(ends))))
    axes.set_ylim(top=min(100.5, axes.get_ylim()[1]))
    axes.set(xlabel="training time, s", ylabel="test accuracy, %")
    legend_above(figure, axes)
    return as_svg(figure, "Test accuracy of each arm by training time")


def _curves(axes: Any, runs: Sequence[Run], x: str, y: str) -> None:
    """A line for each label, with a dot at its end, and a band round it; see `curves`."""
    for number, (label, curve) in enumerate(curves(runs, x, y).items()):
        at, mean, low, high = zip(*curve, strict=True)
        colour, dashes = COLOURS[number % len(COLOURS)], _LINES[number % len(_LINES)]
        axes.plot(at, mean, dashes, color=colour, linewidth=1.4, label=label)
        axes.plot(at[-1:], mean[-1:], color=colour, marker="o", markersize=4)
        if low != high:  # of one seed there is no band
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


def curves(
    runs: Sequence[Run], x: str, y: str
) -> dict[str, list[tuple[float, float, float, float]]]:
    """For each label and epoch the mean of x and of y, and y's ends, over the seeds.

    What x is adds up over a run's epochs. A run that ended early counts as far as it came.

    Example:
        >>> rows = [{"steps": 4, "loss": 2.0}, {"steps": 4, "loss": 1.0}]
        >>> curves([Run("ldb", 0, rows), Run("ldb", 1, rows[1:])], "steps", "loss")
        {'ldb': [(4.0, 1.5, 1.0, 2.0), (8.0, 1.0, 1.0, 1.0)]}
    """
    points: dict[str, list[list[tuple[float, float]]]] = {}
    for run in runs:
        places = itertools.accumulate(row[x] for row in run.rows)
        mine = list(zip(places, (row[y] for row in run.rows), strict=True))
        points.setdefault(run.label, []).append(mine)
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for label, of_runs in points.items():
        for epoch in itertools.zip_longest(*of_runs):
            at, values = zip(*(point for point in epoch if point is not None), strict=True)
            one = (fmean(at), fmean(values), min(values), max(values))
            found.setdefault(label, []).append(one)
    return found


def front(points: Sequence[Point]) -> str:
    """Accuracy against time of every arm of a sweep, and plain training's own front."""
    figure, (axes,) = new_figure(height=4.2)
    plain = [point for point in points if point.over_plain is None]
    between = np.geomspace(plain[0].time, plain[-1].time, 60)
    axes.plot(
        100 * between,
        plain_curve(plain, between),
        color="black",
        alpha=0.6,
        linestyle="--",
        linewidth=1,
    )
    axes.plot(
        [100 * point.time for point in plain],
        [point.accuracy.mean for point in plain],
        color="black",
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
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(times, means, yerr=reach, color=colour, fmt="o", markersize=5, label=kind)
        for point, time, mean in zip(mine, times, means, strict=True):
            rate = f"{point.rate:g}" if point.rate else ""
            axes.annotate(rate, (time, mean), (5, 4), textcoords="offset points", fontsize=7)
    best = [point for point in points if point.on_front]
    axes.plot(
        [100 * point.time for point in best],
        [point.accuracy.mean for point in best],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        color="black",
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
    names = list(dict.fromkeys(p for found in rows.values() for row in found for p in _parts(row)))
    parts = {
        phase: [
            statistics.median(1000 * _parts(row).get(phase, 0.0) / row["steps"] for row in found)
            for found in rows.values()
        ]
        for phase in names
    }
    title = "Time of a step by phase, for each arm and mode"
    return stacked_bars(list(rows), parts, "ms per step (medians over epochs)", title)


def _parts(row: dict[str, Any]) -> dict[str, float]:
    """Seconds by phase; a task that reports no phases has whole steps."""
    return row.get("phases") or {"step": row["seconds"]}


def updates(runs: Sequence[Run]) -> str:
    """Share of a run's steps that updated each layer, of the arms that drop any.

    Of many arms, as a sweep has, the first four: more have no room beside each other.
    """
    known: dict[str, list[Run]] = {}
    for run in runs:
        if run.dropped:
            known.setdefault(run.label, []).append(run)
    known = dict(list(known.items())[:4])
    names = {label: list(found[0].dropped or {}) for label, found in known.items()}
    layers = max(map(len, names.values()), default=1)
    # Where all have the same layers the first panel names them.
    naming = list(names)[:1] if len(set(map(tuple, names.values()))) == 1 else list(names)
    figure, panels = new_figure(columns=len(known), height=min(14.0, 1.0 + 0.13 * layers))
    for axes, (label, found) in zip(panels, known.items(), strict=True):
        shares = [
            100
            * statistics.mean(1 - (run.dropped or {})[name] / max(1, run.steps) for run in found)
            for name in names[label]
        ]
        places = range(len(shares))
        axes.barh(places, shares, color=COLOURS[0])
        most = _LABEL // (1 + len(naming))
        axes.set_yticks(places, shortened(names[label], most) if label in naming else [])
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.tick_params(axis="y", labelsize=5)
        axes.set(xlim=(0, 100), xticks=(0, 50, 100))
        axes.set_title(fill(label, 40 // len(known)), fontsize="small")
    figure.supxlabel("% of steps", fontsize="medium")
    return as_svg(figure, "Share of the steps in which each layer was updated")


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Layers' names without the modules that all are in, and of long ones the end.

    Example:
        >>> shortened(["bert.encoder.0.query", "bert.encoder.10.value"], 7)
        ['0.query', '….value']
    """
    parts = [name.split(".") for name in names]
    shared = 0
    while len({part[shared] for part in parts}) == 1 < min(map(len, parts)) - shared:
        shared += 1
    rest = [".".join(part[shared:]) for part in parts]
    return [name if len(name) <= most else f"…{name[1 - most :]}" for name in rest]
