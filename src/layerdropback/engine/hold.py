"""A window's mask and factor, held in torch while a pass or a step runs, and put back after it."""

from collections.abc import Iterable

from torch.optim import Optimizer

from .flags import Flags
from .learning_rate import LRScaler
from .resting import Resting
from .switches import Switches
from .window import Window


class Hold:
    """Makes a window hold."""

    def __init__(
        self,
        optimizers: Iterable[Optimizer],
        flags: Flags,
        switches: Switches,
        resting: Resting,
    ):
        self.flags, self.switches, self.resting = flags, switches, resting
        self._scalers = {id(optimizer): LRScaler(optimizer) for optimizer in optimizers}

    def begin_pass(self, window: Window, cuts: bool = True) -> None:
        """A forward or a backward pass begins; `cuts` is false where an argument is trained."""
        self.flags.lower(window.parameters, window.switched if cuts else ())

    def begin_step(self, window: Window, optimizer: Optimizer) -> None:
        """An optimizer steps: what is dropped has no gradient, and the rate is scaled."""
        self.clear(window)
        if window.mask is not None:
            self._scalers[id(optimizer)].scale(window.lr_factor)

    @staticmethod
    def clear(window: Window) -> None:
        """Take gradients away; a zeroed one would still bring momentum and decay."""
        for parameter in window.parameters:
            parameter.grad = None

    def put_back(self) -> None:
        """Flags and learning rates are the user's again."""
        self.flags.lift()
        for scaler in self._scalers.values():
            scaler.restore()
