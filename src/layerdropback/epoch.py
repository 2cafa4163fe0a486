"""One epoch: an iterable over its batches, a context manager, and its batch size."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack
from typing import Any, Generic, Self, TypeVar, cast

from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from .errors import EpochError, LoaderError, explain

Batch = TypeVar("Batch")

_CURE = (
    "give a DataLoader made with batch_size=..., or set batch_scale=1, "
    "or change the batch yourself where ldb.is_drop_epoch is true"
)


class Epoch(Generic[Batch]):
    """What ``ldb.epoch(loader, epoch)`` returns; the epoch has begun when you have it.

    It ends when its iteration ends (also by ``break`` or an exception), when its ``with`` block
    ends, or when the next epoch begins. Without a loader it is for a loop of one's own in ``with``.
    """

    def __init__(
        self, loader: Iterable[Batch] | None, number: int, batches: Sized, end: Callable[[], None]
    ):
        self._loader, self._sized, self._end = loader, batches, end
        self._entered = False
        self.number = number
        self.ended = False

    def end(self) -> None:
        """End the epoch; nothing happens when it has ended, or a later one has begun."""
        if not self.ended:
            self.ended = True
            self._end()

    def __len__(self) -> int:
        """The number of batches, the batch factor counted in."""
        if self._loader is None:
            raise TypeError("this epoch has no loader, so it has no length")
        return len(self._sized)

    def __iter__(self) -> Iterator[Batch]:
        if self._loader is None:
            cause = "epoch(None, ...) was called"
            cure = "iterate your own loaders inside `with ldb.epoch(None, epoch):`"
            raise EpochError(explain("this epoch has no batches", cause, cure))
        if self.ended:
            cause = "each call of ldb.epoch(...) is good for one pass"
            cure = "call ldb.epoch(loader, epoch) for each epoch"
            raise EpochError(explain(f"epoch {self.number} has ended", cause, cure))
        return self._batches(self._loader)

    def _batches(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        if self.ended:  # between iter() and the first batch
            return
        try:
            yield from loader
        finally:  # also when the loop breaks or raises: the generator is closed
            if not self._entered:
                self.end()

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, *error: object) -> None:
        self._entered = False
        self.end()


class BatchScaler:
    """Scales the batch size that a loader's ``BatchSampler`` reads at each iteration.

    The loader and its workers stay; only one integer changes, and it is put back. Where `scale` is
    1 any iterable will do; otherwise a `LoaderError` says why the loader will not.
    """

    def __init__(self, loader: Iterable[object] | None, scale: float):
        self._loader = loader
        self._sampler = None if scale == 1 else _batch_sampler(loader)
        if self._sampler is None:
            return
        self._users = self._sampler.batch_size
        self.size = max(1, round(self._users * scale))
        if self._samples(self._sampler) is not None and len(self) == 0:
            fact = f"a drop epoch would have no batch of {self.size} samples"
            cause = "the loader has drop_last=True and fewer samples than that"
            raise LoaderError(explain(fact, cause, "use a smaller batch_scale or drop_last=False"))

    def __len__(self) -> int:
        """The number of batches of the scaled size; TypeError where the loader has no length."""
        if self._sampler is None:
            return len(cast(Sized, self._loader))
        samples = self._samples(self._sampler)
        if samples is None:
            raise TypeError(f"this {type(self._loader).__name__} has no length")
        # Not the DataLoader's own length: for an IterableDataset it ignores the scaled size.
        return samples // self.size if self._sampler.drop_last else -(-samples // self.size)

    def _samples(self, sampler: BatchSampler) -> int | None:
        dataset = cast(DataLoader[object], self._loader).dataset
        source = dataset if isinstance(dataset, IterableDataset) else sampler.sampler
        try:
            return len(cast(Sized, source))
        except TypeError:
            return None

    def apply(self) -> None:
        """Set the scaled size."""
        if self._sampler is not None:
            self._sampler.batch_size = self.size

    def restore(self) -> None:
        """Set the user's size again."""
        if self._sampler is not None:
            self._sampler.batch_size = self._users


def _batch_sampler(loader: Iterable[object] | None) -> BatchSampler:
    if loader is None:
        fact, cause = "the batch factor has no loader to work on", "None was given"
        raise LoaderError(explain(fact, cause, _CURE))
    sampler = getattr(loader, "batch_sampler", None)
    if not isinstance(loader, DataLoader):
        cause = "it is not a torch DataLoader"
    elif sampler is None:
        cause = "it was made with batch_size=None"
    elif isinstance(sampler, BatchSampler) and type(sampler).__iter__ is BatchSampler.__iter__:
        return sampler
    else:
        cause = f"its batch sampler {type(sampler).__name__} makes the batches itself"
    fact = f"the batch factor cannot be applied to this {type(loader).__name__}"
    raise LoaderError(explain(fact, cause, _CURE))


class OpenEpoch:
    """The epoch that is open, and what ends with it.

    It holds nothing of its owner, with whom `traces` are closed, at the latest; `release` does so.
    """

    def __init__(self, owner: object, traces: ExitStack):
        self.batch = BatchScaler(None, 1)
        self.current: weakref.ref[Epoch[Any]] | None = None
        traces.callback(self.close)
        self.release = weakref.finalize(owner, traces.close)
        self.release.atexit = False

    def require_attached(self) -> None:
        """Make sure that nobody has detached."""
        if not self.release.alive:
            cause, cure = "detach() was called", "make a new LayerDropBack"
            raise EpochError(explain("this LayerDropBack is not attached", cause, cure))

    def open(self, loader: Iterable[Any] | None, scale: float) -> None:
        """It begins."""
        self.batch = BatchScaler(loader, scale)
        self.batch.apply()

    def close(self) -> None:
        """It has ended; the batch size is the user's again."""
        self.batch.restore()
        self.batch = BatchScaler(None, 1)
        current = None if self.current is None else self.current()
        if current is not None:
            current.ended = True
        self.current = None

    def total_batches(self, loader: Sized, full: int, dropping: int, scale: float) -> int:
        """How many batches some full epochs and some drop epochs have."""
        self.batch.restore()
        try:
            scaled = BatchScaler(cast(Iterable[object], loader), scale if dropping else 1)
            return len(loader) * full + len(scaled) * dropping
        finally:
            self.batch.apply()
