"""What holds from one optimizer step to the next."""

from dataclasses import dataclass, field

from torch import nn

from ..strategies.odds import Mask


@dataclass(frozen=True)
class Window:
    """What is in force from one optimizer step to the next, however many batches lie between.

    Attributes:
        mask: None in a full step.
        parameters: of the dropped layers.
        switched: the modules whose outputs are detached.
        lr_factor: of this step.
    """

    mask: Mask | None = None
    parameters: tuple[nn.Parameter, ...] = ()
    switched: tuple[nn.Module, ...] = ()
    lr_factor: float = 1.0


FULL = Window()


@dataclass(frozen=True)
class Decision:
    """What a window's kind and mask depend on besides its number.

    Attributes:
        records: whether something must be learned first, in a full step.
        heads: the layers that are kept because they come last; None in a full step.
        can_drop: whether any layer can drop as things stand.
    """

    records: bool = False
    heads: frozenset[int] | None = None
    can_drop: bool = True


@dataclass
class Seen:
    """What has happened in a window so far.

    Attributes:
        forward: whether the model was called, with gradients.
        backward: whether a backward pass of it began.
        stepped: the ``id`` of each optimizer that has stepped.
        decision: what the window was opened by.
    """

    forward: bool = False
    backward: bool = False
    stepped: set[int] = field(default_factory=set)
    decision: Decision = Decision()
