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
    from .model.branches import Branch, find_branches
    from .model.layers import Layer, find_layers
    from .presets import PRESETS

__version__ = "0.1.0"

_HOME = {
    "Branch": "model.branches",
    "LayerDropBack": "controller",
    "Layer": "model.layers",
    "find_branches": "model.branches",
    "find_layers": "model.layers",
    "PRESETS": "presets",
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
    "EpochError",
    "Layer",
    "LayerDropBack",
    "LayerDropBackError",
    "LoaderError",
    "StateError",
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
