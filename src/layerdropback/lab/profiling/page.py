"""A profile's files: one HTML page that needs no network, Markdown, JSON."""

from pathlib import Path

from ..drawing import COLOURS, as_svg, legend_above, new_figure, stacked_bars
from ..page import Page, today
from . import telling
from .phases import Phases
from .profile import Profile


def write_files(found: Profile, command: str, folder: Path) -> Path:
    """Write ``profile.html``, ``profile.md`` and ``profile.json``; see `Page.write`.

    Args:
        found: all of a profile, or what is there of it.
        command: that made it.
        folder: for the files.

    Returns:
        The page.
    """
    page = _page(found, command)
    return page.write(folder, "profile", {"command": command, **found.as_dict()})


def _page(found: Profile, command: str) -> Page:
    page = Page(f"Profile of {found.name}")
    if found.savings:
        page.verdict(telling.sentence(found), gain=found.best() is not None)
        page.heading("What dropping saves")
        page.table(telling.SAVINGS, telling.saving_rows(found.savings))
        page.paragraph(telling.agreement_line(found.savings))
        page.plot(_savings(found), "Shares of a full step's time; whiskers are quartiles.")
    for line in telling.refused_lines(found):
        page.paragraph(line)
    cuts = telling.cut_rows(found.savings)
    if cuts:
        page.heading("By depth")
        page.paragraph("What cuts at single depths save of a full step's time and memory.")
        page.table(telling.CUTS, cuts, folded=f"{len(cuts)} cuts")
    if found.phases is not None:
        page.heading("Where a step's time goes")
        page.plot(_phases(found.phases), "Medians; the paper's Figure 1 shows the same.")
        page.paragraph(telling.backward_line(found.phases))
    if found.blocks:
        page.heading("Block by block")
        page.plot(_blocks(found), telling.block_line(found.blocks))
        rows = telling.block_rows(found.blocks)
        page.table(telling.BLOCKS, rows, folded=f"{len(rows)} blocks")
        page.heading("Residual branches")
        page.paragraph(telling.branch_line(found.branches))
        if found.branches:
            rows = telling.branch_rows(found.branches)
            page.table(telling.BRANCHES, rows, folded=f"{len(rows)} branches")
    page.heading("How to repeat it")
    page.code(command)
    page.values("settings, machine and versions", found.about)
    page.paragraph(f"Made {today()}; {found.parameters:,} parameters.")
    return page


def _phases(phases: Phases) -> str:
    parts = {name: [100 * share] for name, share in phases.shares().items()}
    return stacked_bars(["step"], parts, "% of a full step's time", "A full step's time by phase")


def _blocks(found: Profile) -> str:
    names = [block.name for block in found.blocks]
    parts = {
        "forward": [1e3 * block.forward for block in found.blocks],
        "backward": [1e3 * block.backward for block in found.blocks],
    }
    return stacked_bars(names, parts, "ms", "Time of each block")


def _savings(found: Profile) -> str:
    figure, (axes,) = new_figure(height=1.2 + 0.5 * len(found.savings))
    for number, kind in enumerate(("ideal", "predicted", "measured")):
        places = [place + 0.25 * (number - 1) for place in range(len(found.savings))]
        values = [100 * getattr(saving, kind) for saving in found.savings]
        spread = None
        if kind == "measured":
            ends = [(100 * saving.low, 100 * saving.high) for saving in found.savings]
            pairs = list(zip(values, ends, strict=True))
            spread = [[v - low for v, (low, _) in pairs], [high - v for v, (_, high) in pairs]]
        axes.barh(places, values, height=0.23, color=COLOURS[number], label=kind, xerr=spread)
    labels = [saving.label for saving in found.savings]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlabel="% of a full step that a drop step saves")
    legend_above(figure, axes)
    return as_svg(figure, "What each setting saves of a drop step")
