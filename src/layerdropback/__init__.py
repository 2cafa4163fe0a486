"""LayerDropBack: drop random layers from the backward pass only (arXiv 2412.18027).

The names below are imported on first use, so that ``ldb --help`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .controller import LayerDropBack as LayerDropBack
    from .errors import AttachError as AttachError
    from .errors import EpochError as EpochError
    from .errors import LayerDropBackError as LayerDropBackError
    from .errors import LoaderError as LoaderError
    from .errors import StateError as StateError
    from .errors import UsageError as UsageError
    from .errors import VerificationError as VerificationError
    from .model.branches import ResidualBranch as ResidualBranch
    from .model.layers import Layer as Layer
    from .model.layers import find_layers as find_layers
    from .presets import PRESETS as PRESETS
    from .schedule import Schedule as Schedule
    from .strategies import Blocks as Blocks
    from .strategies import Branch as Branch
    from .strategies import Control as Control
    from .strategies import Strategy as Strategy
    from .strategies import Truncate as Truncate
    from .strategies import Uniform as Uniform

__version__ = "0.2.0"

_NAMES = {
    "controller": ["LayerDropBack"],
    "errors": [
        "AttachError",
        "EpochError",
        "LayerDropBackError",
        "LoaderError",
        "StateError",
        "UsageError",
        "VerificationError",
    ],
    "model.branches": ["ResidualBranch"],
    "model.layers": ["Layer", "find_layers"],
    "presets": ["PRESETS"],
    "schedule": ["Schedule"],
    "strategies": ["Blocks", "Branch", "Control", "Strategy", "Truncate", "Uniform"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
