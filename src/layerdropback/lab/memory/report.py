"""What was predicted, as text for a terminal and as a page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..report.drawing import stacked_bars
from ..report.page import Page, today
from ..tables import Columns, table_of
from .arms import ARMS
from .fitting import MOST
from .predict import Prediction

# Columns of the table, with the kinds of bytes that each adds up.
PARTS = {
    "parameters": ("parameters",),
    "gradients": ("gradients",),
    "states": ("states",),
    "saved": ("saved",),
    "temporary": ("temporary",),
    "else": ("buffers", "batch"),
}

LEGEND = (
    "The columns are what lives at the peak of a step. Saved: activations for the backward pass. "
    "Temporary: gradients of activations, what checkpointing computes again, scratch of the "
    "optimizer. Else: buffers and the batch."
)
FIRST = (
    "First step: the passes of a run's first step are full. It needs that much once, or the run "
    "ends there."
)
NOT_COUNTED = (
    "Not counted: the CUDA context (some 0.5 GB), kernels' workspaces, fragmentation, and what "
    "other libraries or a validation pass hold. Sizes are rounded up to 512 bytes, as CUDA's "
    "allocator does."
)


@dataclass
class Found:
    """What was predicted, arm by arm.

    Attributes:
        name: the model's.
        parameters: how many numbers it has.
        about: how it is trained, and on what.
        arms: the predictions, by arm.
        largest: by arm the largest batch within the budget, where one was given.
        budget: in bytes.
        refused: why other arms cannot be.
    """

    name: str
    parameters: int
    about: dict[str, Any]
    arms: dict[str, Prediction] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)
    budget: int | None = None
    refused: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain values."""
        return vars(self) | {"arms": {arm: one.as_dict() for arm, one in self.arms.items()}}

    @property
    def unit(self) -> tuple[str, int]:
        """In which unit the table is, and its bytes.

        Example:
            >>> Found("net", 1, {}).unit
            ('MB', 1000000)
        """
        most = max((one.peak for one in self.arms.values()), default=0)
        return ("GB", 10**9) if most >= 10**9 else ("MB", 10**6)

    @property
    def about_text(self) -> str:
        """How it is trained, in words."""
        return ", ".join(f"{name} {value}" for name, value in self.about.items())


def amount(size: int) -> str:
    """An amount of memory, in the unit in which GPUs are sold, or in MB.

    Example:
        >>> amount(24 * 2**30), amount(8_000_000)
        ('24 GiB', '8 MB')
    """
    return f"{size / 2**30:.4g} GiB" if size >= 2**30 else f"{size / 1e6:.4g} MB"


def columns_of(found: Found) -> Columns[str]:
    """The table's columns; a row is of an arm, by its name."""
    (unit, size), arms = found.unit, found.arms

    def sizes(read: Callable[[Prediction], int | None], size: int = size) -> Callable[[str], str]:
        def cell(arm: str) -> str:
            value = read(arms[arm])
            return "" if value is None else f"{value / size:.2f}"

        return cell

    def fits(arm: str) -> str:
        if (largest := found.largest.get(arm)) is None:
            return ""
        return {0: "none", MOST: f"{MOST:,} or more"}.get(largest, f"{largest:,}")

    binary = 2**30 if unit == "GB" else 2**20
    columns: dict[str, Callable[[str], str]] = {
        "arm": str,
        "trained": lambda arm: f"{100 * arms[arm].trained / arms[arm].parameters:.3g} %",
        **{part: sizes(partial(_part, part)) for part in PARTS},
        f"peak, {unit}": sizes(lambda one: one.peak),
        f"peak, {unit[0]}iB": sizes(lambda one: one.peak, binary),
        "in": lambda arm: arms[arm].phase,
        "first step": sizes(lambda one: one.first),
    }
    if found.budget is not None:
        columns[f"fit {amount(found.budget)}"] = fits
    return columns


def _part(part: str, one: Prediction) -> int:
    return sum(one.kinds.get(kind, 0) for kind in PARTS[part])


def sentence(found: Found) -> str:
    """The peaks, and what they are of plain training's."""
    (unit, size), full = found.unit, found.arms.get("full")
    peaks = []
    for arm, one in found.arms.items():
        share = "" if full in (None, one) else f" ({one.peak / full.peak:.2f} of full's)"
        peaks.append(f"{arm} {one.peak / size:.2f} {unit}{share}")
    return f"At the peak of a training step: {', '.join(peaks)}."


def lines_of(found: Found) -> list[str]:
    """What the table does not say."""
    unit, size = found.unit
    lines = [LEGEND]
    for arm, one in found.arms.items():
        phases = ", ".join(f"{name} {value / size:.2f}" for name, value in one.phases.items())
        lines.append(f"{arm}: {ARMS[arm]}; peaks in {unit}: {phases}; the highest after {one.op}.")
    lines += [f"{arm} is left out: {why}" for arm, why in found.refused.items()]
    lines += [FIRST] if any(one.first is not None for one in found.arms.values()) else []
    return [*lines, NOT_COUNTED]


def as_text(found: Found) -> str:
    """For a terminal."""
    table = table_of(columns_of(found), list(found.arms))
    return "\n".join([table, sentence(found), *lines_of(found)])


def write_files(found: Found, command: str, folder: Path) -> Path:
    """Write ``memory.html``, ``memory.md`` and ``memory.json``; gives the page."""
    page = Page(f"Memory of training {found.name}")
    page.verdict(sentence(found), gain=False)
    page.paragraph(f"{found.parameters:,} parameters; {found.about_text}.")
    page.heading("At the peak of a training step")
    page.table(columns_of(found), list(found.arms))
    page.plot(lambda: _bars(found), "What lives when the most lives, for each way to train.")
    for line in lines_of(found):
        page.paragraph(line)
    page.heading("How to repeat it")
    page.code(command)
    page.paragraph(f"Predicted {today()}.")
    return page.write(folder, "memory", {"command": command, **found.as_dict()})


def _bars(found: Found) -> str:
    unit, size = found.unit
    arms = found.arms.values()
    parts = {part: [_part(part, one) / size for one in arms] for part in PARTS}
    limit = None
    if found.budget is not None:
        limit = found.budget / size, f"budget, {amount(found.budget)}"
    title = "Memory at the peak of a step, by what it is for"
    return stacked_bars(list(found.arms), parts, unit, title, limit)
