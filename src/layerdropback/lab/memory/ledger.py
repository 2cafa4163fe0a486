"""Counts the bytes of every tensor that lives, by what it is for, and remembers the peak."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...interop.private import TorchDispatchMode
from ...model.graph import output_tensors

# What bytes are for. "saved" is what lives at the end of a forward pass and is nothing else:
# activations for the backward pass. "temporary" is the rest: gradients of activations, what
# checkpointing computes again, what an optimizer's step needs meanwhile.
KINDS = ("parameters", "buffers", "gradients", "states", "batch", "saved", "temporary")

# They hand on a number or a constant of Python's, which under ``FakeTensorMode`` stands beside the
# tensor that they make.
_LIFTS = frozenset(
    (
        torch.ops.aten.lift.default,
        torch.ops.aten.lift_fresh.default,
        torch.ops.aten.lift_fresh_copy.default,
    )
)


@dataclass(frozen=True)
class Peak:
    """The moment at which the most bytes were alive.

    Attributes:
        bytes: how many.
        phase: in which it was.
        op: the operation after which it was.
        kinds: the bytes of each of `KINDS`.
    """

    bytes: int
    phase: str
    op: str
    kinds: Mapping[str, int]


class _Entry(weakref.ref[torch.UntypedStorage]):
    """A storage that lives, held weakly."""

    __slots__ = ("born", "key", "kind", "size")
    born: int  # after so many operations
    key: int
    kind: str
    size: int


class _High:
    """A peak that may learn later what its tensors were for."""

    __slots__ = ("kinds", "op", "time", "total")

    def __init__(self, total: int, kinds: Counter[str], op: object, time: int):
        self.total, self.kinds, self.op, self.time = total, kinds, op, time


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, counts the storages that operations make, take or free.

    Each storage counts once, whatever views there are of it, with its present size, and is held
    weakly. It counts real tensors, and fake ones under ``FakeTensorMode`` (enter that first).

    Args:
        block: sizes are rounded up to a multiple of this; CUDA's allocator has 512.

    Example:
        >>> weight = torch.ones(1000)
        >>> with Ledger() as ledger:
        ...     ledger.assign(weight, "parameters")
        ...     with ledger.phase("forward"):
        ...         once = (weight * 2).exp()
        >>> ledger.total, ledger.live
        (8000, {'parameters': 4000, 'temporary': 4000})
        >>> ledger.peak().bytes, ledger.peak().op
        (12000, 'aten.exp.default')
    """

    def __init__(self, block: int = 1):
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0  # bytes that live
        self._block = block
        self._live: Counter[str] = Counter()
        self._entries: dict[int, _Entry] = {}
        self._highs: dict[str, _High] = {}
        self._phase = "outside"
        self._ops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and look at what it takes and makes."""
        if func not in _LIFTS:
            self._see(args, self._note)
        out = self.run(func, args, kwargs or {})
        self._ops += 1
        self._see(out, self._note)
        high = self._highs.get(self._phase)
        if high is None or self.total > high.total:
            self._highs[self._phase] = _High(self.total, self._live.copy(), func, self._ops)
        return out

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation."""
        return func(*args, **kwargs)

    # ---- storages --------------------------------------------------------------------------------

    def _see(self, values: Any, note: Callable[[torch.UntypedStorage], Any]) -> None:
        """Show the storages in an operation's arguments or results."""
        if isinstance(values, Tensor):
            if _is_made_of_others(type(values)):
                self._see(_inner(values), note)
                return
            try:
                storage = values.untyped_storage()
            except (NotImplementedError, RuntimeError):  # sparse, or one of torch.func's wrappers
                self._see(_inner(values), note)
                return
            # A fake tensor names the device that it stands for; on "meta" there is no memory.
            if id(storage) in self._entries or values.device.type != "meta":
                note(storage)
        elif isinstance(values, list | tuple):
            for value in values:
                self._see(value, note)

    def _note(self, storage: torch.UntypedStorage) -> _Entry:
        size = -(-storage.nbytes() // self._block) * self._block
        entry = self._entries.get(id(storage))
        if entry is None:
            entry = _Entry(storage, self._gone)
            entry.key, entry.kind = id(storage), "temporary"
            self._entries[entry.key] = entry
        elif entry.size == size:
            return entry
        else:  # it was resized
            self._add(entry.kind, -entry.size)
        entry.size, entry.born = size, self._ops
        self._add(entry.kind, size)
        return entry

    def _gone(self, entry: Any) -> None:
        self._entries.pop(entry.key, None)
        self._add(entry.kind, -entry.size)

    def _add(self, kind: str, size: int) -> None:
        self.total += size
        self._live[kind] += size

    def _look_again(self) -> None:
        """A storage may have been resized with no operation."""
        for entry in tuple(self._entries.values()):
            storage = entry()
            if storage is not None:
                self._note(storage)

    # ---- phases and kinds ------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens meanwhile is of this phase."""
        before, self._phase = self._phase, name
        self._mark()
        try:
            yield
        finally:
            self._look_again()
            self._mark()
            self._phase = before

    def _mark(self) -> None:
        """A peak may also be where a phase begins, or where a resized storage was found."""
        high = self._highs.get(self._phase)
        if high is None or self.total > high.total:
            high = _High(self.total, self._live.copy(), "none", self._ops)
            self._highs[self._phase] = high

    def assign(self, tensors: Tensor | Iterable[Any], kind: str) -> None:
        """Say what some tensors are for; also of the peaks at which they were there already."""
        found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        self._see(found, lambda storage: self._turn(self._note(storage), kind))

    def _turn(self, entry: _Entry, kind: str) -> None:
        if entry.kind == kind:
            return
        counts = [high.kinds for high in self._highs.values() if entry.born <= high.time]
        for kinds in (self._live, *counts):
            kinds[entry.kind] -= entry.size
            kinds[kind] += entry.size
        entry.kind = kind

    def assign_model(self, model: nn.Module) -> None:
        """Parameters, their gradients, buffers, and tensors that are mere attributes of modules."""
        for module in model.modules():
            self.assign(module.parameters(recurse=False), "parameters")
            self.assign(module.buffers(recurse=False), "buffers")
            self.assign(filter(_is_tensor, vars(module).values()), "buffers")
        self.assign_gradients(model)

    def assign_gradients(self, model: nn.Module) -> None:
        """After a backward pass."""
        self.assign((p.grad for p in model.parameters() if p.grad is not None), "gradients")

    def assign_states(self, optimizer: Optimizer) -> None:
        """After an optimizer's step."""
        self.assign(output_tensors([*optimizer.state.values()]), "states")

    def settle(self) -> None:
        """A forward pass has ended: what lives now, and is nothing else, was saved by it."""
        self._look_again()
        for entry in tuple(self._entries.values()):
            if entry.kind == "temporary":
                self._turn(entry, "saved")

    def restart(self) -> None:
        """Forget the peaks."""
        self._highs.clear()

    # ---- what was counted ------------------------------------------------------------------------

    @property
    def live(self) -> Mapping[str, int]:
        """The bytes that live, by kind, where there are any."""
        self._look_again()
        return {kind: self._live[kind] for kind in KINDS if self._live[kind]}

    def peak(self, phase: str | None = None) -> Peak:
        """The highest peak since the last `restart`, or that of one phase.

        Raises:
            KeyError: there was no such phase.
        """
        if phase is None:
            phase = max(self._highs, key=lambda name: self._highs[name].total)
        high = self._highs[phase]
        kinds = {kind: high.kinds[kind] for kind in KINDS if high.kinds[kind]}
        return Peak(high.total, phase, str(high.op), kinds)

    @property
    def phases(self) -> tuple[str, ...]:
        """Those that there were since the last `restart`."""
        return tuple(self._highs)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


@cache
def _is_made_of_others(kind: type[Tensor]) -> bool:
    """Whether tensors of this class have tensors inside, as DTensor's."""
    return hasattr(kind, "__tensor_flatten__")


def _inner(tensor: Tensor) -> list[Any]:
    """What a tensor is made of that has no storage of its own."""
    if _is_made_of_others(type(tensor)):
        names, _ = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
        return [getattr(tensor, name) for name in names]
    if tensor.layout == torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []  # of a wrapper what is in it is seen; of oneDNN's layout nothing is known
