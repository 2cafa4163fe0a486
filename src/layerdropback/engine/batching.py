"""A loader's batch size, scaled for one drop epoch."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, cast

from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from ..errors import LoaderError, explain

_CURE = (
    "give a DataLoader made with batch_size=..., or set batch_scale=1, "
    "or change the batch yourself where ldb.is_drop_epoch is true"
)


class BatchScaler:
    """Scales the batch size that a loader's ``BatchSampler`` reads at each iteration.

    The loader and its workers stay; only one integer changes, and it is put back. Where `scale` is
    1 any iterable will do; otherwise a `LoaderError` says why the loader will not.
    """

    def __init__(self, loader: Iterable[object] | None, scale: float):
        self._loader = loader
        self._sampler: BatchSampler | None = None
        if scale == 1:
            return
        self._sampler = _batch_sampler(loader)
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


def total_batches(loader: Sized, full: int, dropping: int, scale: float) -> int:
    """How many batches some full epochs and some drop epochs have."""
    scaled = BatchScaler(cast(Iterable[object], loader), scale if dropping else 1)
    return len(loader) * full + len(scaled) * dropping


class OpenBatch:
    """The batch factor of the epoch that is open; it holds nothing of the controller."""

    def __init__(self) -> None:
        self.scaler = BatchScaler(None, 1)

    def open(self, loader: Iterable[Any] | None, scale: float) -> None:
        """An epoch begins."""
        self.scaler = BatchScaler(loader, scale)
        self.scaler.apply()

    def close(self) -> None:
        """It ends; the batch size is the user's again."""
        self.scaler.restore()
        self.scaler = BatchScaler(None, 1)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """While the batch size is the user's."""
        self.scaler.restore()
        try:
            yield
        finally:
            self.scaler.apply()
