"""What is changed for a dropped layer, ``requires_grad`` above all, for as short as possible."""

from collections.abc import Iterable

from torch import nn

from .switches import turn


class Flags:
    """Lowers ``requires_grad`` and turns switches on, and undoes both.

    What decides whether autograd computes a weight's gradient is its flag during the forward pass
    (and during the recomputation of a checkpointed segment in the backward pass). So the flags are
    lowered inside these two; at every other time they are the user's, to read, to change, to copy
    and to save. The same goes for switches, see `switches`.
    """

    def __init__(self) -> None:
        self._lowered: list[nn.Parameter] = []
        self._turned: list[nn.Module] = []

    @property
    def lowered(self) -> bool:
        """Whether any flag is lowered now."""
        return bool(self._lowered)

    def lower(self, parameters: Iterable[nn.Parameter], switched: Iterable[nn.Module] = ()) -> None:
        """Lower the flags that are up; a parameter that the user froze is not touched.

        Args:
            parameters: whose flags.
            switched: the modules whose outputs are cut off.
        """
        self._turned.extend(switched)
        turn(self._turned, on=True)
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.requires_grad = False
                self._lowered.append(parameter)

    def lift(self) -> None:
        """Lift what was lowered."""
        turn(self._turned, on=False)
        self._turned.clear()
        while self._lowered:
            self._lowered.pop().requires_grad = True
