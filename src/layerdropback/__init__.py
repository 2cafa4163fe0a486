"""LayerDropBack: drop random layers from the backward pass only (arXiv 2412.18027).

The names below are imported on first use, so that ``ldb --help`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .controller import LayerDropBack
    from .errors import (
        AttachError,
        EpochError,
        LayerDropBackError,
        LoaderError,
        StateError,
        UsageError,
        VerificationError,
    )
    from .lab.profiling.profile import profile
    from .model.branches import ResidualBranch
    from .model.find_branches import find_branches
    from .model.layers import Layer, find_layers
    from .presets import PRESETS
    from .schedule import Schedule
    from .strategies import Branch, Control, Strategy, Truncate, Uniform

__version__ = "0.1.0"

_HOME = {
    "LayerDropBack": "controller",
    "Uniform": "strategies",
    "Truncate": "strategies",
    "Branch": "strategies",
    "Control": "strategies",
    "Strategy": "strategies",
    "Schedule": "schedule",
    "PRESETS": "presets",
    "Layer": "model.layers",
    "find_layers": "model.layers",
    "ResidualBranch": "model.branches",
    "find_branches": "model.find_branches",
    "profile": "lab.profiling.profile",
    "AttachError": "errors",
    "EpochError": "errors",
    "LayerDropBackError": "errors",
    "LoaderError": "errors",
    "StateError": "errors",
    "UsageError": "errors",
    "VerificationError": "errors",
}

__all__ = [
    "PRESETS",
    "AttachError",
    "Branch",
    "Control",
    "EpochError",
    "Layer",
    "LayerDropBack",
    "LayerDropBackError",
    "LoaderError",
    "ResidualBranch",
    "Schedule",
    "StateError",
    "Strategy",
    "Truncate",
    "Uniform",
    "UsageError",
    "VerificationError",
    "find_branches",
    "find_layers",
    "profile",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
