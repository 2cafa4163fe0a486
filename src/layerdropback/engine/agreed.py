"""The facts that must be the same on all ranks, so that their masks are."""

from typing import Any

from ..distributed.agreement import digest
from ..model.layers import fingerprint
from ..settings import Settings
from .target import Target
from .windows import Windows


def facts_of_attachment(target: Target, settings: Settings) -> dict[str, Any]:
    """What masks depend on from the beginning."""
    return settings.to_state() | {"layers (a digest)": digest(fingerprint(target.layers))}


def facts_of_epoch(windows: Windows) -> dict[str, Any]:
    """What they depend on as the training goes on."""
    planner, counters = windows.planner, windows.counters
    return {
        "epoch": counters.epoch,
        "seed": planner.masks.seed,
        "step": counters.step,
        "drop_steps": counters.drop_steps,
        "what was learned (a digest)": digest(planner.knowledge.to_state()),
    }
