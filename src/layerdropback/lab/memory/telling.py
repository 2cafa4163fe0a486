"""Predictions as text: a table and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..tables import markdown_table
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

COLUMNS = (
    "The columns are what lives at the peak of a step. Saved: activations for the backward pass. "
    "Temporary: gradients of activations, what checkpointing computes again, scratch of the "
    "optimizer. Else: buffers and the batch."
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


def parts_of(kinds: Mapping[str, int]) -> dict[str, int]:
    """The bytes of each of `PARTS`.

    Example:
        >>> parts_of({"saved": 3, "batch": 1})["else"]
        1
    """
    return {part: sum(kinds.get(kind, 0) for kind in some) for part, some in PARTS.items()}


def unit_of(found: Found) -> tuple[str, int]:
    """In which unit the table is, and its bytes.

    Example:
        >>> unit_of(Found("net", 1, {}))
        ('MB', 1000000)
    """
    most = max((one.peak for one in found.arms.values()), default=0)
    return ("GB", 10**9) if most >= 10**9 else ("MB", 10**6)


def head_of(found: Found) -> list[str]:
    """The table's first line."""
    unit, _ = unit_of(found)
    head = ["arm", "trained", *PARTS, f"peak, {unit}", f"peak, {unit[0]}iB", "in", "first step"]
    return head if found.budget is None else [*head, f"fit {amount(found.budget)}"]


def rows_of(found: Found) -> list[list[str]]:
    """A row for each arm."""
    unit, size = unit_of(found)
    binary = 2**30 if unit == "GB" else 2**20
    rows = []
    for arm, one in found.arms.items():
        row = [arm, f"{100 * one.trained / one.parameters:.3g} %"]
        row += [f"{value / size:.2f}" for value in parts_of(one.kinds).values()]
        row += [f"{one.peak / size:.2f}", f"{one.peak / binary:.2f}", one.phase]
        row.append("" if one.first is None else f"{one.first / size:.2f}")
        if found.budget is not None:
            row.append(_fits(found.largest.get(arm)))
        rows.append(row)
    return rows


def _fits(largest: int | None) -> str:
    if largest is None:
        return ""
    return f"{MOST:,} or more" if largest == MOST else (f"{largest:,}" if largest else "none")


def amount(size: int) -> str:
    """An amount of memory, in the unit in which GPUs are told, or in MB.

    Example:
        >>> amount(24 * 2**30), amount(8_000_000)
        ('24 GiB', '8 MB')
    """
    return f"{size / 2**30:.4g} GiB" if size >= 2**30 else f"{size / 1e6:.4g} MB"


def table(found: Found) -> str:
    """For a terminal, and for Markdown."""
    return markdown_table(head_of(found), rows_of(found))


def lines_of(found: Found) -> list[str]:
    """What the table does not say."""
    unit, size = unit_of(found)
    lines = [COLUMNS]
    lines += [f"{arm}: {ARMS[arm]}; {_peaks(one, unit, size)}." for arm, one in found.arms.items()]
    lines += [f"{arm} is left out: {why}" for arm, why in found.refused.items()]
    if any(one.first is not None for one in found.arms.values()):
        lines.append(
            "First step: the passes of a run's first step are full. It needs that much once, or "
            "the run ends there."
        )
    return [*lines, NOT_COUNTED]


def _peaks(one: Prediction, unit: str, size: int) -> str:
    phases = ", ".join(f"{name} {value / size:.2f}" for name, value in one.phases.items())
    return f"peaks in {unit}: {phases}; the highest after {one.op}"


def sentence(found: Found) -> str:
    """The peaks, and what they are of plain training's."""
    (unit, size), full = unit_of(found), found.arms.get("full")
    peaks = []
    for arm, one in found.arms.items():
        share = "" if full in (None, one) else f" ({one.peak / full.peak:.2f} of full's)"
        peaks.append(f"{arm} {one.peak / size:.2f} {unit}{share}")
    return f"At the peak of a training step: {', '.join(peaks)}."


def comparison(found: Found) -> Sequence[str]:
    """How each arm's peak compares with plain training's."""
    full = found.arms.get("full")
    if full is None:
        return []
    return [
        f"{arm} takes {one.peak / full.peak:.2f} of full's memory."
        for arm, one in found.arms.items()
        if arm != "full"
    ]
