"""Measuring: what a setting costs, what it gains, and against what.

The names below are for a user's own scripts; they are imported on first use, as torch is with them.
Where what is:

- A comparison: `comparison` is its course. What is compared: `task`, `arms`, `plan`. What happens:
  `opening`, `pilot` (by `slices`), `tuning`, `turns`, and `telling` says so. What is
  kept: `record`, `storing`, `packed`. What it shows: `statistics`, `front`, `verdict`, `sweep`.
  `paper` has commands for the paper's.
- `report`: tables, figures and pages; `tables` is how all tables are described.
- `profiling`: where a step's time goes, and what dropping saves of it.
- `memory`: what a step takes, without weights and GPU.
- Looking at a user's model: `calling`, `held` (bytes of a step), `branches`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arms import Arm
    from .branches import find_branches
    from .comparison import compare
    from .memory.predict import count_memory, predict_memory
    from .profiling.profile import profile
    from .task import Run, Task

_HOME = {
    "Arm": "arms",
    "Run": "task",
    "Task": "task",
    "compare": "comparison",
    "count_memory": "memory.predict",
    "find_branches": "branches",
    "predict_memory": "memory.predict",
    "profile": "profiling.profile",
}

__all__ = [
    "Arm",
    "Run",
    "Task",
    "compare",
    "count_memory",
    "find_branches",
    "predict_memory",
    "profile",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
