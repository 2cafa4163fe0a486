"""One epoch, as an iterable over its batches and as a context manager."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from .errors import EpochError, explain

Batch = TypeVar("Batch")


class Epoch(Generic[Batch]):
    """What ``ldb.epoch(loader, epoch)`` returns; the epoch has begun when you have it.

    It ends when its iteration ends (also by ``break`` or an exception), when its ``with`` block
    ends, or when the next epoch begins.

    Args:
        loader: the batches, or None for a loop of one's own inside ``with``.
        number: the epoch's number.
        length: called for the number of batches.
        end: called to end the epoch; may be called more than once.
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
        self._iterating = False
        self.number = number
        self.ended = False

    @property
    def in_use(self) -> bool:
        """Whether a loop or a ``with`` block is inside this epoch."""
        return self._entered or self._iterating

    def end(self) -> None:
        """End the epoch; nothing happens when it has ended."""
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
        self._iterating = True
        try:
            yield from loader
        finally:  # also when the loop breaks or raises: the generator is closed
            self._iterating = False
            if not self._entered:
                self.end()

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        self.end()
