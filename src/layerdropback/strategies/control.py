"""The control that drops nothing."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Strategy


@dataclass(frozen=True)
class Control(Strategy):
    """Drop epochs with their learning rate and batch, but nothing dropped.

    What a method gains beyond its control, it gains by dropping.

    Example:
        >>> Control().drops
        True
    """

    name: ClassVar[str] = "control"
    drops_layers: ClassVar[bool] = False
