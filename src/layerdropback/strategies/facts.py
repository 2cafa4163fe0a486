"""What a strategy may know of a model, as things stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.branches import Group
from ..model.layers import Layer
from .odds import Mask


@dataclass(frozen=True)
class Facts:
    """What is known of a model when a mask is drawn.

    Attributes:
        layers: all of them, in the order in which masks number them.
        free: which layers can drop, shape ``(layers,)``: the loss reaches them, and they are not
            kept.
        ascending: the reached layers' indices by their first use, the earliest first.
        shares: by layer's name, what a cut right above it skips of the backward pass's cost; None
            where nobody asked for costs.
        groups: of layers that drop together, because residual branches do.
        early: modules that make the early uses of what is kept; every cut detaches them.
        sources: modules whose outputs require a gradient with no parameter before them; the same.
    """

    layers: tuple[Layer, ...]
    free: Mask
    ascending: tuple[int, ...]
    shares: Mapping[str, float] | None = None
    groups: tuple[Group, ...] = ()
    early: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def below_cuts(self) -> tuple[str, ...]:
        """The modules that a cut detaches."""
        return tuple(dict.fromkeys([*self.early, *self.sources]))
