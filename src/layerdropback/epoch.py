"""One epoch: an iterable over its batches, and a context manager."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Generic, Self, TypeVar

from .engine.batching import OpenBatch
from .errors import EpochError, explain

Batch = TypeVar("Batch")


class Epoch(Generic[Batch]):
    """What ``ldb.epoch(loader, epoch)`` returns; the epoch has begun when you have it.

    It ends when its iteration ends (also by ``break`` or an exception), when its ``with`` block
    ends, or when the next epoch begins. Without a loader it is for a loop of one's own in ``with``.
    """

    def __init__(
        self,
        loader: Iterable[Batch] | None,
        number: int,
        length: Callable[[], int],
        end: Callable[[], None],
    ):
        self._loader = loader
        self._length = length
        self._end = end
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
        return self._length()

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


class OpenEpoch:
    """The epoch that is open, and what ends with it."""

    def __init__(self) -> None:
        self.batch = OpenBatch()
        self.current: weakref.ref[Epoch[Any]] | None = None
        self._release: weakref.finalize[..., Any] | None = None

    def attach(self, owner: object, traces: ExitStack) -> None:
        """Close `traces` when they are let go of, or with their owner."""
        traces.callback(self.batch.close)
        self._release = weakref.finalize(owner, traces.close)
        self._release.atexit = False

    def detach(self) -> None:
        """Close the traces."""
        if self._release is not None:
            self._release()

    def require_attached(self) -> None:
        """Make sure that nobody has detached."""
        if self._release is None or not self._release.alive:
            cause, cure = "detach() was called", "make a new LayerDropBack"
            raise EpochError(explain("this LayerDropBack is not attached", cause, cure))

    def close(self) -> None:
        """It has ended; the batch size is the user's again."""
        self.batch.close()
        current = None if self.current is None else self.current()
        if current is not None:
            current.ended = True
        self.current = None
