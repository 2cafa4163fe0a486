"""Whole settings by name: those of the authors' published scripts, and what has shown to gain."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .errors import AttachError, explain
from .schedule import Schedule
from .settings import Settings
from .strategies import Truncate, Uniform, strategy_of

# The two of the paper follow the authors' scripts (arXiv 2412.18027): drop epochs 2, 4, 6, ...
# `finetune` is what ended above plain training of the same time, see docs/method.md.
PRESETS = MappingProxyType(
    {
        "paper-scratch": Settings(Uniform(0.5, unit="tensor"), Schedule(2, 2), lr_scale=2.0),
        "paper-finetune": Settings(
            Uniform(0.5, unit="tensor"), Schedule(2, 2), lr_scale="inverse", batch_scale=2
        ),
        "finetune": Settings(Truncate(0.5, depth="fixed"), Schedule(every=1, start=0)),
    }
)


def changed(preset: str, **changes: Any) -> Settings:
    """The settings of a preset, but for what is given.

    A preset's schedule is none of a strategy whose layers take turns: that has its own.

    Raises:
        AttachError: there is no such preset, or a value makes no sense.

    Example:
        >>> changed("finetune", strategy="blocks").schedule.steps
        20
    """
    if "strategy" in changes:
        changes["strategy"] = strategy_of(changes["strategy"])
        if changes["strategy"].resting is not None:
            changes.setdefault("schedule", Schedule())
    return replace(preset_of(preset), **changes)


def preset_of(name: str) -> Settings:
    """The settings of a preset, by its name in `PRESETS`."""
    if not isinstance(name, str) or name not in PRESETS:
        cure = f"give one of {', '.join(PRESETS)}"
        raise AttachError([explain(f"preset={name!r} is unknown", "no such preset exists", cure)])
    return PRESETS[name]
