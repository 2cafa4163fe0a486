"""The control that drops nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .base import Strategy

if TYPE_CHECKING:
    from .facts import Facts
    from .odds import Mask


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

    def saved(self, facts: Facts, mask: Mask) -> float | None:
        """See `Strategy`; nothing is dropped, and nothing saved."""
        return 0.0
