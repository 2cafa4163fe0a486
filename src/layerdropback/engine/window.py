"""What holds from one optimizer step to the next."""

from dataclasses import dataclass, field

from torch import nn

from ..strategies.odds import Mask


@dataclass(frozen=True)
class Window:
    """What is in force from one optimizer step to the next, however many batches lie between."""

    mask: Mask | None = None  # None in a full step
    parameters: tuple[nn.Parameter, ...] = ()  # of the dropped layers
    switched: tuple[nn.Module, ...] = ()  # their outputs are detached
    lr_factor: float = 1.0
    saved: float | None = 0.0  # of the backward pass's cost; None: not known


FULL = Window()


@dataclass(frozen=True)
class Decision:
    """What a window's kind and mask depend on besides its number."""

    records: bool = False  # something must be learned first, in a full step
    heads: frozenset[int] | None = None  # kept because they come last; None in a full step
    can_drop: bool = True  # any layer can, as things stand


@dataclass
class Seen:
    """What has happened in a window so far."""

    forward: bool = False  # the model was called, with gradients
    backward: bool = False  # a backward pass of it began
    uncut: bool = False  # an argument wanted a gradient, so that no output was detached
    carried: bool = False  # an epoch began while gradients waited; no pass since
    stepped: set[int] = field(default_factory=set)  # the ``id`` of each optimizer that has
    decision: Decision = Decision()  # what the window was opened by
    foreseen: Window | None = None  # what a recorded window is from its step on
