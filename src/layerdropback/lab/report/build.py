"""``ldb report``: from folders of runs to a page, its text and a table of all epochs."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import UsageError, explain
from ...runs.atomic import replace_atomically
from ...runs.folder import flat
from ...runs.paths import home
from ...runs.reasons import reason
from .. import sweep
from ..record import Record
from ..tables import Columns
from . import plots
from .page import Page, today
from .reading import Run, Source, read_source
from .results import COLUMNS, data_text, found_of, plan_lines, verdict_lines

NAME, TABLE = "report", "epochs.csv"

RUNS: Columns[Run] = {
    "arm": lambda run: run.label,
    "seed": lambda run: str(run.seed),
    "epochs": lambda run: str(len(run.rows)),
    "steps": lambda run: str(run.steps),
    "training time, s": lambda run: f"{sum(row['seconds'] for row in run.rows):.4g}",
    "final accuracy, %": lambda run: f"{run.rows[-1]['test_accuracy']:.2f}",
    "training loss": lambda run: f"{run.rows[-1]['train_loss']:.4f}",
}


def make_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write ``report.html``, ``report.md`` and ``epochs.csv``.

    Args:
        folders: of ``ldb train`` and ``ldb compare``, one or more; of a comparison also its record
            alone, plain or compressed.
        out: a folder for them; the first run's by default.

    Returns:
        The page.

    Raises:
        UsageError: a folder holds no run, or the files cannot be written.
    """
    folders = [home(folder, "") for folder in folders]
    if out is None and folders[0].is_file():
        fact, cause = f"{folders[0]} is a file", "a report goes into its run's folder"
        raise UsageError(explain(fact, cause, "give a folder with --out"))
    sources = _named_apart([read_source(folder) for folder in folders])
    target = folders[0] if out is None else home(out, "--out ")
    try:
        written = _page(sources).write(target, NAME)  # plots are drawn as they are written
        replace_atomically(target / TABLE, lambda path: _write_rows(path, sources))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        fact = f"{' and '.join(str(folder) for folder in folders)} cannot be shown"
        told = f"{type(error).__name__}: {reason(error)}"
        cause = f"what was recorded does not hold together ({told})"
        raise UsageError(explain(fact, cause, "give what ldb has written, unchanged")) from error
    except OSError as error:
        fact, cause = f"cannot write the report in {target}", error.strerror or str(error)
        raise UsageError(explain(fact, cause, "give another --out")) from None
    return written


def _page(sources: Sequence[Source]) -> Page:
    runs = [run for source in sources for run in source.runs]
    labels = list(dict.fromkeys(run.label for run in runs))
    named = (
        f"{labels[0]} and {len(labels) - 1} other arms" if len(labels) > 5 else ", ".join(labels)
    )
    page = Page(f"LayerDropBack: {named}")
    for source in sources:
        _result(page, source)
    record = next((source.record for source in sources if source.record is not None), None)
    page.heading("Curves")
    band = ""
    if len(runs) > len(labels):
        band = " Lines are means over seeds, bands from the lowest seed to the highest."
    caption = f"Training loss, by optimizer steps and by training time.{band}"
    page.plot(partial(plots.loss_curves, runs), caption)
    target = None if record is None else record.target_accuracy()
    dotted = "" if target is None else f" The dotted line is the target, {target:.2f} %."
    page.plot(
        partial(plots.accuracy_by_time, runs, target),
        f"Test accuracy after each epoch by training time; a dot is an arm's end.{band}{dotted}",
    )
    page.heading("Where a step's time goes")
    caption = f"Medians over epochs, the first left out; n = {len(runs)} runs."
    page.plot(partial(plots.phases, runs), caption)
    if any(run.dropped for run in runs):
        page.heading("How often each layer was updated")
        caption = "Share of all optimizer steps; layers in the order of the model."
        page.plot(partial(plots.updates, runs), caption)
    page.heading("How to repeat it")
    for source in sources:
        page.code(source.command)
        page.paragraph(_machine(source.facts))
        _settings(page, source.settings)
    page.paragraph(f"Every epoch of every run is in {TABLE}.")
    page.paragraph(f"Made {today()} from {', '.join(str(source.folder) for source in sources)}.")
    return page


def _settings(page: Page, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """The first arm's in full, and where the others differ."""
    first = next(iter(settings), None)
    for label, values in settings.items():
        if label == first:
            page.values(f"settings of {label}", dict(values))
        else:
            common = settings[str(first)]
            other = {k: v for k, v in values.items() if k not in common or common[k] != v}
            page.values(f"settings of {label}, where they are not those of {first}", other)


def _result(page: Page, source: Source) -> None:
    if source.record is None:
        page.heading(f"Result of {source.folder.resolve().name}")
        page.table(RUNS, source.runs)
        page.paragraph("n = 1 run: no comparison, and no claim.")
        return
    record = source.record
    page.heading("Result")
    _sweep(page, record) if record.kind == "sweep" else _verdicts(page, record)
    page.heading("What was compared")
    page.paragraph(_data(record))
    for line in plan_lines(record):
        page.paragraph(line)
    page.heading("Every run")
    page.table(RUNS, source.runs, folded=f"{len(source.runs)} runs")
    if record.trials:
        page.heading("Learning rates tried")
        page.table(_trials(record), record.trials, folded=f"{len(record.trials)} trials")


def _trials(record: Record) -> Columns[Mapping[str, Any]]:
    def accuracy(trial: Mapping[str, Any]) -> str:
        return "diverged" if trial["accuracy"] is None else f"{trial['accuracy']:.2f}"

    return {
        "arm": lambda trial: str(trial["arm"]),
        "learning rate": lambda trial: f"{trial['lr']:g}",
        "seed": lambda trial: str(trial["seed"]),
        f"accuracy on held-out {record.unit}, %": accuracy,
    }


def _data(record: Record) -> str:
    """What was trained on, in a sentence; not every task has a model's name, or pixels."""
    data, said = record.data, data_text(record)
    model = str(record.settings.get("model", ""))
    if model and not said.startswith(f"{Path(model).name} on "):  # a task may name it itself
        said = f"{model} on {said}"
    size = f" of {data['size']} pixels" if "size" in data else ""
    classes = f", {data['classes']} classes" if "classes" in data else ""
    return f"{said}{size}{classes}."


def _verdicts(page: Page, record: Record) -> None:
    for name, verdict in record.verdicts().items():
        page.verdict(f"{name}: {verdict.text}", verdict.gain)
    page.paragraph(verdict_lines(record)[-1])
    page.table(COLUMNS, found_of(record))


def _sweep(page: Page, record: Record) -> None:
    *shown, last = sweep.sweep_lines(record)
    found = sweep.points(record)
    for line in shown:
        page.verdict(line, gain=any(point.shown for point in found))
    page.paragraph(last)
    page.table(sweep.COLUMNS, found)
    page.plot(
        partial(plots.front, found),
        f"Accuracy on held-out {record.unit} by training time, with 95 % intervals. The curve "
        "joins plain runs of several lengths; ringed arms are on the Pareto front of all.",
    )


def _machine(facts: dict[str, Any]) -> str:
    hardware, versions = facts.get("hardware", {}), facts.get("versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    device, threads = hardware.get("device", "an unknown machine"), hardware.get("threads", "?")
    kept = ", freed memory kept" if hardware.get("freed_memory") == "kept" else ""
    return f"{device}, {threads} threads{kept}; {shown}."


def _named_apart(sources: Sequence[Source]) -> list[Source]:
    """The sources, with their folders' names before labels that come more than once."""
    labels = [label for source in sources for label in {run.label for run in source.runs}]
    found = []
    for number, source in enumerate(sources, start=1):
        names = {
            label: label
            if labels.count(label) == 1
            else f"{number}: {source.folder.resolve().name} {label}"
            for label in source.settings
        }
        runs = [replace(run, label=names[run.label]) for run in source.runs]
        settings = {names[label]: values for label, values in source.settings.items()}
        found.append(replace(source, runs=runs, settings=settings))
    return found


def _write_rows(path: Path, sources: Sequence[Source]) -> None:
    rows = [
        {"run": run.label, "seed": run.seed}
        | flat({name: value for name, value in row.items() if name not in ("arm", "seed")})
        for source in sources
        for run in source.runs
        for row in run.rows
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
