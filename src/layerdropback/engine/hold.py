"""A window's mask and factor, held in torch while a pass or a step runs, and put back after it."""

from torch.optim import Optimizer

from ..interop.compiling import compile_ignores_flags
from .flags import Flags, places
from .learning_rate import LRScaler
from .target import Target
from .window import Window


class Hold:
    """Makes a window hold.

    Args:
        target: what LayerDropBack is attached to.

    Attributes:
        flags: of the model's parameters.
    """

    def __init__(self, target: Target):
        self.flags = Flags(places(target.inner) if compile_ignores_flags() else None)
        self._scalers = {id(optimizer): LRScaler(optimizer) for optimizer in target.optimizers}

    def begin_pass(self, window: Window, cuts: bool = True) -> None:
        """A forward or a backward pass begins.

        Args:
            window: in force.
            cuts: whether outputs are detached; not where an argument wants its gradient.
        """
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
