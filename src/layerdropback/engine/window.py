"""What holds from one optimizer step to the next."""

from dataclasses import dataclass

from torch import nn

from ..strategies.sampling import Mask


@dataclass(frozen=True)
class Window:
    """What is in force from one optimizer step to the next, however many batches lie between."""

    mask: Mask | None = None  # None: a full step
    parameters: tuple[nn.Parameter, ...] = ()
    switched: tuple[nn.Module, ...] = ()  # whose outputs are cut off
    lr_factor: float = 1.0


FULL = Window()
