"""A prediction's files: one HTML page that needs no network, Markdown, JSON."""

from pathlib import Path

from ..drawing import stacked_bars
from ..page import Page, today
from . import telling
from .telling import Found


def write_files(found: Found, command: str, folder: Path) -> Path:
    """Write ``memory.html``, ``memory.md`` and ``memory.json``; see `Page.write`.

    Args:
        found: what was predicted.
        command: that did.
        folder: for the files.

    Returns:
        The page.
    """
    page = Page(f"Memory of training {found.name}")
    page.verdict(telling.sentence(found), gain=False)
    about = ", ".join(f"{name} {value}" for name, value in found.about.items())
    page.paragraph(f"{found.parameters:,} parameters; {about}.")
    page.heading("At the peak of a training step")
    page.table(telling.head_of(found), telling.rows_of(found))
    page.plot(_bars(found), "What lives when the most lives, for each way to train.")
    for line in telling.lines_of(found):
        page.paragraph(line)
    page.heading("How to repeat it")
    page.code(command)
    page.paragraph(f"Predicted {today()}.")
    return page.write(folder, "memory", {"command": command, **found.as_dict()})


def _bars(found: Found) -> str:
    unit, size = telling.unit_of(found)
    kinds = [telling.parts_of(one.kinds) for one in found.arms.values()]
    parts = {part: [each[part] / size for each in kinds] for part in telling.PARTS}
    limit = None
    if found.budget is not None:
        limit = found.budget / size, f"budget, {telling.amount(found.budget)}"
    title = "Memory at the peak of a step, by what it is for"
    return stacked_bars(list(found.arms), parts, unit, title, limit)
