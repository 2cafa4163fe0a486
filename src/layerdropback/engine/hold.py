"""A window's mask and factor, held in torch while a pass or a step runs, and put back after it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..interop.private import own_parameters
from .resting import Resting
from .switches import Switches, turn
from .window import Window

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


class _Scaled(float):
    """A scaled rate that knows the user's; what an optimizer multiplies stays a multiple of both.

    So an optimizer that lets its own rate decay inside of ``step()`` decays the user's.
    """

    user: float

    def __new__(cls, scaled: float, user: float) -> "_Scaled":
        made = super().__new__(cls, scaled)
        made.user = user
        return made

    def __mul__(self, other: Any) -> Any:
        return self._change(float.__mul__, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._change(float.__truediv__, other)

    def _change(self, change: Callable[[float, Any], Any], other: Any) -> Any:
        scaled = change(self, other)
        if isinstance(other, _Scaled) or not isinstance(scaled, float):
            return scaled
        return _Scaled(scaled, change(float(self.user), other))

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (self.user,)  # a checkpoint from within a closure holds the user's


class LRScaler:
    """Scales the learning rate of every param group, and puts the user's back.

    The user's value is put back, never divided back, so that no rounding creeps into what the
    scheduler reads. A number that is written to a rate meanwhile is kept. A tensor (a fused or
    capturable optimizer's) is changed in place: a captured graph reads that very tensor. What it
    has become meanwhile is taken for a multiple of what it was, as nothing tells the two apart: an
    optimizer that lets a tensor decay would make it grow by the factor in each step otherwise.
    """

    def __init__(self, optimizer: Optimizer):
        self._optimizer = optimizer
        self._factor = 1.0
        self._groups: list[dict[str, Any]] = []
        self._tensors: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # groups may share one

    def scale(self, factor: float) -> None:
        """Multiply every group's rate, after putting back what an earlier call left scaled."""
        self.restore()
        if factor == 1:
            return
        self._factor, self._groups = factor, list(self._optimizer.param_groups)
        for group in self._groups:
            rate = group["lr"]
            if not isinstance(rate, Tensor):
                group["lr"] = _Scaled(rate * factor, user=rate)
            elif id(rate) not in self._tensors:
                user = rate.detach().clone()
                with torch.no_grad():
                    rate.mul_(factor)
                self._tensors[id(rate)] = (rate, user, rate.detach().clone())

    def restore(self) -> None:
        """Put the user's rates back; nothing happens where none is scaled."""
        while self._groups:
            group = self._groups.pop()
            rate = group["lr"]
            if isinstance(rate, _Scaled):
                group["lr"] = rate.user
            elif isinstance(rate, Tensor) and id(rate) not in self._tensors:
                group["lr"] = rate / self._factor
        while self._tensors:
            _, (rate, user, scaled) = self._tensors.popitem()
            with torch.no_grad():
                # On the device: no number of it is asked for.
                rate.copy_(torch.where(rate == scaled, user, rate / self._factor))


class Hold:
    """Makes a window hold."""

    def __init__(
        self, optimizers: Iterable[Optimizer], flags: Flags, switches: Switches, resting: Resting
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
