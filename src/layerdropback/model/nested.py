"""Tensors in nested containers."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def map_tensors(change: Callable[[Any], Any], value: Any, kind: type = Tensor) -> Any:
    """The same containers, of the same kinds, with every tensor (or what is of `kind`) changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, Mapping):
        # A copy, since outputs of Hugging Face's models are mappings that no dict can make.
        changed: Any = copy.copy(value)
        for key, part in value.items():
            changed[key] = map_tensors(change, part, kind)
        return changed
    if isinstance(value, tuple | list):
        parts = [map_tensors(change, part, kind) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if is_dataclass(value) and not isinstance(value, type):
        changed = copy.copy(value)
        for name in [entry.name for entry in fields(value) if hasattr(value, entry.name)]:
            part = map_tensors(change, getattr(value, name), kind)
            object.__setattr__(changed, name, part)  # of a frozen one, too
        return changed
    return value
