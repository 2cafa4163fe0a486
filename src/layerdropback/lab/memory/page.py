"""A prediction's files: one HTML page that needs no network, Markdown, JSON."""

import json
from pathlib import Path

from ..drawing import as_svg, legend_above, new_figure
from ..page import Page, today
from . import telling
from .telling import Found

HTML, MARKDOWN, RECORD = "memory.html", "memory.md", "memory.json"

_COLOURS = ("#7fa8d1", "#d1867f", "#c9b36b", "#8fbf8f", "#b79ad1", "#bbbbbb")


def write_files(found: Found, command: str, folder: Path) -> Path:
    """Write ``memory.html``, ``memory.md`` and ``memory.json``.

    Args:
        found: what was predicted.
        command: that did.
        folder: for the files; made where it is not there.

    Returns:
        The page.
    """
    page = _page(found, command)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"command": command, **found.as_dict()}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    (folder / MARKDOWN).write_text(page.as_markdown())
    (folder / HTML).write_text(page.as_html())
    return folder / HTML


def _page(found: Found, command: str) -> Page:
    page = Page(f"Memory of training {found.name}")
    page.paragraph(f"Predicted {today()}; {found.parameters:,} parameters; {_about(found)}.")
    page.heading("At the peak of a training step")
    page.plot(_bars(found), "What lives when the most lives, for each way to train.")
    page.table(telling.head_of(found), telling.rows_of(found), telling.table(found))
    for line in [*telling.comparison(found), *telling.lines_of(found)]:
        page.paragraph(line)
    page.heading("How to repeat it")
    page.code(command)
    return page


def _about(found: Found) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.about.items())


def _bars(found: Found) -> str:
    unit, size = telling.unit_of(found)
    figure, (axes,) = new_figure(height=1.3 + 0.45 * len(found.arms))
    left = dict.fromkeys(found.arms, 0.0)
    for part, colour in zip(telling.PARTS, _COLOURS, strict=True):
        values = [telling.parts_of(one.kinds)[part] / size for one in found.arms.values()]
        axes.barh(list(left), values, left=list(left.values()), color=colour, label=part)
        left = {arm: at + value for (arm, at), value in zip(left.items(), values, strict=True)}
    if found.budget is not None:
        label = f"budget, {telling.amount(found.budget)}"
        axes.axvline(found.budget / size, color="#333333", linestyle="--", label=label)
    axes.invert_yaxis()
    axes.set(xlabel=unit)
    legend_above(figure, axes, columns=4)
    return as_svg(figure, "Memory at the peak of a step, by what it is for")
