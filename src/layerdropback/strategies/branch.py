"""Residual branches, each by itself; gradients flow around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..option import option
from .uniform import Independently

if TYPE_CHECKING:
    from .facts import Facts
    from .odds import Mask


@dataclass(frozen=True)
class Branch(Independently):
    """Drop every residual branch by itself, all of its layers together (issue 5; DropBP).

    A dropped branch's output is detached, so that its backward pass is skipped whole. Branches are
    found in the autograd graph; `layerdropback.lab.find_branches` shows them. A part that the model
    uses only later, inside of a branch, is dropped with it from its first step on, and becomes one
    of its layers in the first step that keeps it.

    Attributes:
        rate: chance of each branch to be dropped in a drop step, in [0, 1); 0 is plain training.
        unit: what drops as one, see `Strategy`.
        keep: names of layers never to drop, see `Strategy`.
        rates: drop rates of some branches, by the names of any of their layers.
        pool: draw from so many masks, see `Uniform`.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> Branch().rate
        0.3
    """

    name: ClassVar[str] = "branch"
    needs_branches: ClassVar[bool] = True
    rate: float = option(0.3, "Chance of a branch to drop.", flag="drop_rate")

    def switches(self, facts: Facts, mask: Mask) -> tuple[str, ...]:
        """See `Strategy`."""
        return tuple(
            name for group in facts.groups if mask[group.layers[0]] for name in group.modules
        )

    def saved(self, facts: Facts, mask: Mask) -> float | None:
        """See `Strategy`; no branch lies within another.

        What leads to several dropped branches alone is no single one's, and comes on top.
        """
        return float(sum(group.share for group in facts.groups if mask[group.layers[0]]))
