"""What is changed for a dropped layer, ``requires_grad`` above all, for as short as possible."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import nn

from ..interop.private import own_parameters
from .switches import turn

_Place = tuple[MutableMapping[str, Any], str]  # a module's table of parameters, and a name in it


class Flags:
    """Lowers ``requires_grad`` and turns switches on, and undoes both.

    What decides whether autograd computes a weight's gradient is its flag during the forward pass
    (and during the recomputation of a checkpointed segment in the backward pass). So the flags are
    lowered inside these two; at every other time they are the user's, to read, to change, to copy
    and to save. The same goes for switches, see `switches`.
    """

    def __init__(self, places: Mapping[int, Sequence[_Place]] | None = None) -> None:
        # For compilers that look at a flag only where something was put there (pytorch#139476).
        self._places = places or {}
        self._lowered: list[nn.Parameter] = []
        self._turned: list[nn.Module] = []

    def lower(self, parameters: Iterable[nn.Parameter], switched: Iterable[nn.Module] = ()) -> None:
        """Lower the flags that are up, not those that the user lowered, and cut outputs off."""
        self._turned.extend(switched)
        turn(self._turned, on=True)
        for parameter in parameters:
            if parameter.requires_grad:
                self._lowered.append(parameter)  # first, for Ctrl-C may come between
                self._set(parameter, False)

    def lift(self) -> None:
        """Lift what was lowered."""
        turn(self._turned, on=False)
        self._turned.clear()
        while self._lowered:
            self._set(self._lowered[-1], True)
            self._lowered.pop()

    def _set(self, parameter: nn.Parameter, flag: bool) -> None:
        parameter.requires_grad = flag
        for table, name in self._places.get(id(parameter), ()):
            if name in table:
                # In one call, which no signal and no other thread can come between.
                table.update([(name, None), (name, table[name])])


def places(model: nn.Module) -> dict[int, list[_Place]]:
    """Where a model's modules hold each parameter, by its ``id``."""
    found: dict[int, list[_Place]] = defaultdict(list)
    for module in model.modules():
        if not isinstance(module, torch.jit.ScriptModule):  # its table cannot be written to
            table = own_parameters(module)
            for name, parameter in table.items():
                found[id(parameter)].append((table, name))
    return dict(found)
