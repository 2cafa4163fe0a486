"""The ``requires_grad`` flags of dropped parameters, lowered for as short as possible."""

from collections.abc import Iterable

from torch import nn


class Flags:
    """Lowers ``requires_grad``, and lifts what it lowered.

    What decides whether autograd computes a weight's gradient is its flag during the forward pass
    (and during the recomputation of a checkpointed segment in the backward pass). So the flags are
    lowered inside these two; at every other time they are the user's, to read, to change, to copy
    and to save.
    """

    def __init__(self) -> None:
        self._lowered: list[nn.Parameter] = []

    @property
    def lowered(self) -> bool:
        """Whether any flag is lowered now."""
        return bool(self._lowered)

    def lower(self, parameters: Iterable[nn.Parameter]) -> None:
        """Lower the flags that are up; a parameter that the user froze is not touched."""
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.requires_grad = False
                self._lowered.append(parameter)

    def lift(self) -> None:
        """Lift what was lowered."""
        while self._lowered:
            self._lowered.pop().requires_grad = True
