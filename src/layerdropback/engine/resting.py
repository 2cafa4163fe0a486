"""Optimizer states of what rests: out of the optimizer, and back when its turn comes (issue 17).

A parameter whose gradient is None is skipped by its optimizer, which never looks at its state. So
the state can wait elsewhere meanwhile, or be let go. Checkpoints stay whole: what waits is put into
``optimizer.state_dict()``, and kept out of the optimizer when one is loaded.
"""

import contextlib
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..model.nested import map_tensors
from .hooks import WeakHook, put_around
from .window import Window

_State = dict[str, Any]
_CPU = torch.device("cpu")


class Resting:
    """The states of all optimizers' resting parameters.

    The mode is the `state` of `Blocks`; None where nothing rests. Closing `traces` takes the hooks
    away, and gives everything back.
    """

    def __init__(
        self, optimizers: Iterable[Optimizer], mode: str | None, traces: contextlib.ExitStack
    ):
        self._mode = mode
        self._stores: list[_Store] = []
        self._now: bytes | None = None  # the mask by which they rest
        if mode in ("offload", "release"):
            self._stores = [_Store(o, mode == "offload", traces) for o in optimizers]

    def settle(self, window: Window) -> None:
        """What the window drops rests from now on, and all else is back.

        To be called when no gradient of it is of use: between a step and the next pass, or right
        before a step. What goes makes room for what comes.
        """
        mask = None if window.mask is None else window.mask.tobytes()
        if self._mode is None or (mask == self._now and not any(s.is_open for s in self._stores)):
            return
        for parameter in window.parameters:
            parameter.grad = None
        resting = {id(parameter) for parameter in window.parameters}
        for store in self._stores:
            store.send(resting)
        for store in self._stores:
            store.fetch(resting)
        self._now = mask


@dataclass(frozen=True)
class _Waiting:
    """A tensor that is away, and the device that it belongs to."""

    tensor: Tensor
    home: torch.device

    @classmethod
    def of(cls, tensor: Tensor, home: torch.device | None = None) -> "_Waiting":
        return cls(_moved(tensor, _CPU), tensor.device if home is None else home)


class _Store:
    """One optimizer's states that are not in the optimizer.

    Where a state is both here and there, somebody has put it there since: that one counts.
    """

    def __init__(self, optimizer: Optimizer, keeps: bool, traces: contextlib.ExitStack):
        self._optimizer, self._keeps = optimizer, keeps
        self._away: dict[nn.Parameter, _State] = {}
        self.is_open = False  # a state was loaded, and nothing has said yet what of it rests
        whole, lean = WeakHook(self._whole), WeakHook(self._lean)
        traces.callback(optimizer.register_state_dict_post_hook(whole).remove)
        traces.callback(optimizer.register_load_state_dict_pre_hook(lean).remove)
        for name in exchanging(optimizer):
            before = partial(_first, WeakHook(self._give_back))
            traces.callback(put_around(optimizer, name, before))
        traces.callback(self.fetch, frozenset())

    def send(self, resting: Set[int]) -> None:
        """Take the states of these out of the optimizer."""
        state = self._optimizer.state
        for parameter in (p for p in _parameters(self._optimizer) if id(p) in resting):
            entry = state.pop(parameter, None)
            if not self._keeps:
                self._away.pop(parameter, None)
            elif entry is not None:
                self._away[parameter] = map_tensors(_Waiting.of, entry)

    def fetch(self, resting: Set[int]) -> None:
        """Put the states of all others back."""
        self.is_open, state = False, self._optimizer.state
        for parameter in [p for p in self._away if id(p) not in resting]:
            entry = self._away.pop(parameter)
            if not state.get(parameter):  # a mere look at a defaultdict would make an entry
                state[parameter] = map_tensors(lambda w: _moved(w.tensor, w.home), entry, _Waiting)

    def _give_back(self) -> None:
        """All of it, until the next step or pass."""
        self.fetch(frozenset())
        self.is_open = True

    def _whole(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        """What waits elsewhere belongs to a checkpoint."""
        if not self._away:
            return state_dict
        numbers = {id(p): number for number, p in enumerate(_parameters(optimizer))}
        away = {
            numbers[id(parameter)]: map_tensors(lambda waiting: waiting.tensor, entry, _Waiting)
            for parameter, entry in self._away.items()
            if id(parameter) in numbers
        }
        state = away | state_dict["state"]
        return {**state_dict, "state": {number: state[number] for number in sorted(state)}}

    def _lean(self, optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        """What is loaded waits outside until its turn comes: what rests may not be known yet."""
        saved = state_dict.get("param_groups", ())
        if _sizes(saved) != _sizes(optimizer.param_groups):
            return state_dict  # torch refuses it, and nothing has changed
        self._away.clear()
        loaded = dict(state_dict["state"])
        places = ((number, group) for group in saved for number in group["params"])
        for parameter, (number, group) in zip(_parameters(optimizer), places, strict=True):
            if number in loaded:
                load, entry = partial(_as_loaded, parameter, group), loaded.pop(number)
                self._away[parameter] = {
                    key: map_tensors(partial(load, key), value) for key, value in entry.items()
                }
        self.is_open = bool(self._away)
        return {**state_dict, "state": loaded}


def _first(react: Callable[[], Any], call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    react()
    return call(*args, **kwargs)


def exchanging(optimizer: Optimizer) -> tuple[str, ...]:
    """Methods that put other weights in the place of all, and need every state: schedule-free's."""
    names = ("train", "eval")
    return names if all(callable(getattr(optimizer, name, None)) for name in names) else ()


def _as_loaded(parameter: nn.Parameter, group: _State, key: str, value: Tensor) -> _Waiting:
    """What ``load_state_dict`` of torch would make of it; the same rules."""
    on_device = group.get("fused") or group.get("capturable")
    if key == "step":
        if not on_device:
            return _Waiting.of(value)
        return _Waiting.of(value.to(torch.float32), parameter.device)
    dtype = parameter.dtype if parameter.is_floating_point() else value.dtype
    return _Waiting.of(value.to(dtype), parameter.device)


def _sizes(groups: Iterable[_State]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on another device; what is there already stays the same object."""
    if tensor.device == device:
        return tensor
    if tensor.is_cuda and device.type == "cpu" and type(tensor) is Tensor:
        pinned = torch.empty_like(tensor, device=device, pin_memory=True)  # quick to fetch
        return pinned.copy_(tensor)
    return tensor.to(device)
