"""Plots of runs, as SVG that needs nothing else."""

import io
import statistics
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ...errors import UsageError, explain
from ...training.phases import PHASES
from .reading import Run

# Wide enough to read on paper; a page scales it down on a phone.
_WIDTH, _HEIGHT = 7.0, 3.6


def loss_curves(runs: Sequence[Run]) -> str:
    """Training loss by step and by time."""
    figure, (by_step, by_time) = _figure(columns=2)
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
    _legend(figure, by_step)
    return _svg(figure, "Training loss of each run, by optimizer step and by training time")


def accuracy_by_time(runs: Sequence[Run], target: float | None = None) -> str:
    """Test accuracy after each epoch, by training time; each run's end is a dot."""
    figure, (axes,) = _figure()
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
    _legend(figure, axes)
    return _svg(figure, "Test accuracy of each run by training time")


def phases(runs: Sequence[Run]) -> str:
    """A step's time by phase, of each label and mode: medians over epochs and seeds."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for number, row in enumerate(run.rows):
            if number > 0 or len(run.rows) == 1:  # the first one warms up
                rows.setdefault(f"{run.label}, {row['mode']}", []).append(row)
    figure, (axes,) = _figure(height=0.9 + 0.32 * len(rows))
    left = [0.0] * len(rows)
    names = list(rows)
    for phase, shade in zip(PHASES, ("#bbbbbb", "#7fa8d1", "#d1867f", "#8fbf8f"), strict=True):
        widths = [
            statistics.median(1000 * row["phases"].get(phase, 0.0) / row["steps"] for row in found)
            for found in rows.values()
        ]
        axes.barh(names, widths, left=left, color=shade, label=phase)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="ms per step (medians over epochs)")
    _legend(figure, axes, columns=4)
    return _svg(figure, "Time of a step by phase, for each arm and mode")


def updates(runs: Sequence[Run]) -> str | None:
    """Share of a run's steps that updated each layer; None where no run dropped any."""
    known: dict[str, list[Run]] = {}
    for run in runs:
        if run.dropped:
            known.setdefault(run.label, []).append(run)
    if not known:
        return None
    layers = max((len(run.dropped or {}) for found in known.values() for run in found), default=1)
    figure, panels = _figure(columns=len(known), height=min(14.0, 1.0 + 0.13 * layers))
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
    return _svg(figure, "Share of the steps in which each layer was updated")


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


def _figure(columns: int = 1, height: float = _HEIGHT) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        fact, cause = "ldb report needs matplotlib", "it is not installed"
        raise UsageError(explain(fact, cause, "pip install 'layerdropback[cli]'")) from None
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _legend(figure: Any, axes: Any, columns: int = 3) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, fontsize="small", frameon=False
    )


def _svg(figure: Any, title: str) -> str:
    import matplotlib

    text = io.StringIO()
    # Text stays text, and two reports of one run are equal byte for byte.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].strip()
