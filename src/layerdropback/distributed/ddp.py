"""What DistributedDataParallel sends: gradients of dropped layers are left out.

DDP reduces gradients in buckets, and with ``find_unused_parameters=True`` a dropped layer's part of
them is zeros. A communication hook of ours packs what was kept, and leaves the rest at home.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AttachError, explain
from ..interop.private import has_comm_hook
from ..interop.wrappers import data_parallels

# What torch calls with its state and a bucket, and which returns the reduced buffer's future.
CommHook = Callable[[Any, Any], Any]
_Dropped = Callable[[], Set[int] | None]  # what is dropped now, by ``id``


class KeptBucket:
    """The kept part of a bucket, packed; with the face of ``torch.distributed.GradBucket``."""

    def __init__(self, bucket: Any, places: Sequence[int]):
        gradients, parameters = bucket.gradients(), bucket.parameters()
        self._bucket = bucket
        self._parameters = [parameters[place] for place in places]
        self.originals: list[Tensor] = [gradients[place] for place in places]
        self._buffer = torch.cat([gradient.flatten() for gradient in self.originals])

    def buffer(self) -> Tensor:
        """All of its gradients, flat, shape ``(numbers,)``."""
        return self._buffer

    def set_buffer(self, tensor: Tensor) -> None:
        """Replace what `buffer` returns."""
        self._buffer = tensor

    def gradients(self) -> list[Tensor]:
        """Views of the buffer, one for each parameter."""
        return list(_views(self._buffer, self.originals))

    def parameters(self) -> list[nn.Parameter]:
        """Of the kept gradients, in their order."""
        return self._parameters

    def index(self) -> int:
        """The bucket's number."""
        return int(self._bucket.index())

    def is_last(self) -> bool:
        """Whether it is the last one of a backward pass."""
        return bool(self._bucket.is_last())

    def unpack(self, reduced: Tensor) -> Tensor:
        """Write reduced gradients to where DDP looks for them; its whole buffer."""
        for original, part in zip(self.originals, _views(reduced, self.originals), strict=True):
            original.copy_(part)
        buffer: Tensor = self._bucket.buffer()
        return buffer


class Traffic:
    """Bytes of gradients that were given to collectives so far."""

    def __init__(self) -> None:
        self.bytes = 0


def register(
    models: Sequence[nn.Module], dropped: _Dropped, hook: CommHook | None, state: Any
) -> Traffic:
    """Register `kept_only` with DDP around models, or in them.

    See `LayerDropBack.register_comm_hook`; the first of the models is what that is attached to.
    """
    wrappers, subject = data_parallels(*models), "cannot register a communication hook"
    if not wrappers:
        fact = f"{type(models[0]).__name__} takes no communication hook"
        cause = "no DistributedDataParallel is around it, or none that it has been called in so far"
        others = "(fully_shard sends no gradients of what is dropped anyway)"
        cure = f"attach to the DDP model; or leave the call out {others}"
        raise AttachError([explain(fact, cause, cure)], subject)
    if any(map(has_comm_hook, wrappers)):
        fact, cause = "the DDP model has a communication hook already", "DDP takes only one"
        cure = "register yours through this method: ldb.register_comm_hook(hook, state)"
        raise AttachError([explain(fact, cause, cure)], subject)
    traffic = Traffic()
    for wrapper in wrappers:
        own = wrapper.process_group if hook is None else state
        wrapper.register_comm_hook(own, kept_only(dropped, hook or _all_reduce, traffic))
    return traffic


def kept_only(dropped: _Dropped, hook: CommHook, traffic: Traffic) -> CommHook:
    """A communication hook that gives another one only the gradients of what every rank keeps."""

    def layerdropback_hook(state: Any, bucket: Any) -> Any:
        gone = dropped() or frozenset()
        parameters = bucket.parameters()
        kept = [place for place, parameter in enumerate(parameters) if id(parameter) not in gone]
        if not kept:
            return _done(bucket.buffer())
        if len(kept) == len(parameters):
            traffic.bytes += bucket.buffer().nbytes
            return hook(state, bucket)
        part = KeptBucket(bucket, kept)
        traffic.bytes += part.buffer().nbytes
        return hook(state, part).then(lambda future: part.unpack(_tensor(future.value())))

    layerdropback_hook.__annotations__.clear()  # DDP takes its own types, or none
    return layerdropback_hook


def _all_reduce(group: Any, bucket: Any) -> Any:
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    return allreduce_hook(group, bucket)


def _views(flat: Tensor, shapes: Sequence[Tensor]) -> Iterator[Tensor]:
    """Parts of a flat tensor, each in the shape of another one."""
    start = 0
    for like in shapes:
        yield flat[start : start + like.numel()].view(like.shape)
        start += like.numel()


def _done(buffer: Tensor) -> Any:
    """A future of what nothing is to be done with."""
    devices: Any = [buffer.device] if buffer.is_cuda else None
    future: Any = torch.futures.Future(devices=devices)
    future.set_result(buffer)
    return future


def _tensor(value: Any) -> Tensor:
    """What a hook's future holds: a tensor, or a list with one."""
    tensor: Tensor = value[0] if isinstance(value, list | tuple) else value
    return tensor


class SyncWatch:
    """Watches for ``no_sync()``, from one optimizer step to the next; only in a model of DDP.

    A window's gradients may be accumulated under ``no_sync()`` as long as one of its passes, the
    last one, is not: that one reduces them all. A step without it uses each rank's own gradients,
    and the next mask leaves some layers unreduced for good (pytorch#69031).
    """

    def __init__(self, model: nn.Module, adopted: Sequence[nn.Module] = ()):
        self._wrappers = data_parallels(model, *adopted)
        self._last_is_reduced: bool | None = None

    def knows(self, wrapper: nn.Module) -> bool:
        """Whether it is one of those that are watched."""
        return any(wrapper is known for known in self._wrappers)

    def begin_window(self) -> None:
        """An optimizer has stepped."""
        self._last_is_reduced = None

    def saw_pass(self) -> None:
        """The flag decides about a backward pass now, mostly where its forward pass has ended."""
        if self._wrappers:
            self._last_is_reduced = all(w.require_backward_grad_sync for w in self._wrappers)

    def require_reduced(self) -> None:
        """Before an optimizer's step: an `AttachError` where the gradients are this rank's own."""
        if self._last_is_reduced is not False:
            return
        groups = (wrapper.process_group for wrapper in self._wrappers)
        if any(torch.distributed.get_world_size(group) > 1 for group in groups):
            fact = "optimizer.step() was called on gradients that DDP has not reduced"
            cause = (
                "the last forward and backward pass before it ran under no_sync(), and masks that "
                "change after such a step leave the ranks with different models"
            )
            cure = "leave no_sync() for the last pass before each step"
            raise AttachError([explain(fact, cause, cure)], "cannot drop layers")
