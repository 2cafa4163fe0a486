"""A profile's files: one HTML page that needs no network, Markdown, JSON."""

import json
from pathlib import Path
from typing import Any

from ...runs.atomic import write_atomically
from ..drawing import as_svg, legend_above, new_figure
from ..page import Page, today
from ..tables import markdown_table
from . import telling
from .profile import Profile

HTML, MARKDOWN, RECORD = "profile.html", "profile.md", "profile.json"


def write_files(found: Profile, command: str, folder: Path) -> Path:
    """Write ``profile.html``, ``profile.md`` and ``profile.json``.

    Args:
        found: all of a profile, or what is there of it.
        command: that made it.
        folder: for the files; made where it is not there.

    Returns:
        The page.
    """
    page = _page(found, command)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"command": command, **found.as_dict()}
    write_atomically(folder / RECORD, json.dumps(record, indent=1) + "\n")
    write_atomically(folder / MARKDOWN, page.as_markdown())
    write_atomically(folder / HTML, page.as_html())
    return folder / HTML


def _page(found: Profile, command: str) -> Page:
    page = Page(f"Profile of {found.name}")
    page.paragraph(f"Made {today()}; {found.parameters:,} parameters.")
    if found.savings:
        page.verdict(telling.sentence(found), gain=found.best() is not None)
        page.heading("What dropping spares")
        page.plot(_savings(found), "Shares of a full step's time; whiskers are quartiles.")
        page.paragraph(telling.agreement_line(found.savings))
        _table(page, telling.SAVINGS, telling.saving_rows(found.savings))
    for line in telling.refused_lines(found):
        page.paragraph(line)
    cuts = telling.cut_rows(found.savings)
    if cuts:
        page.heading("By depth")
        page.paragraph("What cuts at single depths spare of a full step's time and memory.")
        _table(page, telling.CUTS, cuts)
    if found.phases is not None:
        page.heading("Where a step's time goes")
        page.plot(_phases(found), "Medians; the paper's Figure 1 shows the same.")
        page.paragraph(telling.backward_line(found.phases))
    if found.blocks:
        page.heading("Block by block")
        page.plot(_blocks(found), telling.block_line(found.blocks))
        _table(page, telling.BLOCKS, telling.block_rows(found.blocks))
        page.heading("Residual branches")
        page.paragraph(telling.branch_line(found.branches))
        if found.branches:
            _table(page, telling.BRANCHES, telling.branch_rows(found.branches))
    page.heading("How to repeat it")
    page.code(command)
    page.folded("settings, machine and versions", found.about)
    return page


def _table(page: Page, head: Any, rows: list[list[str]]) -> None:
    page.table(head, rows, markdown_table(head, rows))


def _phases(found: Profile) -> str:
    assert found.phases is not None
    figure, (axes,) = new_figure(height=1.4)
    left = 0.0
    colours = ("#bbbbbb", "#7fa8d1", "#d1867f", "#8fbf8f")
    for (name, share), colour in zip(found.phases.shares().items(), colours, strict=True):
        axes.barh(["step"], [100 * share], left=left, color=colour, label=name)
        left += 100 * share
    axes.set(xlabel="% of a full step's time", xlim=(0, 100))
    legend_above(figure, axes, columns=4)
    return as_svg(figure, "A full step's time by phase")


def _blocks(found: Profile) -> str:
    figure, (axes,) = new_figure(height=min(14.0, 1.2 + 0.16 * len(found.blocks)))
    names = [block.name for block in found.blocks]
    forward = [1e3 * block.forward for block in found.blocks]
    axes.barh(names, forward, color="#bbbbbb", label="forward")
    backward = [1e3 * block.backward for block in found.blocks]
    axes.barh(names, backward, left=forward, color="#7fa8d1", label="backward")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel="ms")
    legend_above(figure, axes)
    return as_svg(figure, "Time of each block")


def _savings(found: Profile) -> str:
    figure, (axes,) = new_figure(height=1.2 + 0.5 * len(found.savings))
    for offset, kind, colour in (
        (-0.25, "ideal", "#bbbbbb"),
        (0.0, "predicted", "#7fa8d1"),
        (0.25, "measured", "#8fbf8f"),
    ):
        places = [place + offset for place in range(len(found.savings))]
        values = [100 * getattr(saving, kind) for saving in found.savings]
        spread = None
        if kind == "measured":
            ends = [(100 * saving.low, 100 * saving.high) for saving in found.savings]
            pairs = list(zip(values, ends, strict=True))
            spread = [[v - low for v, (low, _) in pairs], [high - v for v, (_, high) in pairs]]
        axes.barh(places, values, height=0.23, color=colour, label=kind, xerr=spread)
    labels = [saving.label for saving in found.savings]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="% of a full step that a drop step spares")
    legend_above(figure, axes)
    return as_svg(figure, "What each setting spares of a drop step")
