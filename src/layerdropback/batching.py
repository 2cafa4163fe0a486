"""A loader's batch size, scaled for one drop epoch."""

from collections.abc import Iterable

from torch.utils.data import BatchSampler, DataLoader

from .errors import LoaderError, explain

_CURE = (
    "give a DataLoader made with batch_size=..., or set batch_scale=1, "
    "or change the batch yourself where ldb.is_drop_epoch is true"
)


class BatchScaler:
    """Scales the batch size that a loader's ``BatchSampler`` reads at each iteration.

    The loader and its workers stay; only one integer changes, and it is put back.

    Args:
        loader: the loader; any iterable will do where `scale` is 1.
        scale: the factor; the result is rounded to at least one sample.

    Raises:
        LoaderError: the loader's batch size cannot be changed from here.
    """

    def __init__(self, loader: Iterable[object] | None, scale: float):
        self._sampler: BatchSampler | None = None
        if scale == 1:
            return
        self._sampler = _batch_sampler(loader)
        self._size = self._sampler.batch_size
        self.size = max(1, round(self._size * scale))

    def apply(self) -> None:
        """Set the scaled size."""
        if self._sampler is None:
            return
        self._sampler.batch_size = self.size
        if _is_empty(self._sampler):
            self.restore()
            fact = f"a drop epoch would have no batch of {self.size} samples"
            cause = "the loader has drop_last=True and fewer samples than that"
            raise LoaderError(explain(fact, cause, "use a smaller batch_scale or drop_last=False"))

    def restore(self) -> None:
        """Set the user's size again."""
        if self._sampler is not None:
            self._sampler.batch_size = self._size


def _is_empty(sampler: BatchSampler) -> bool:
    try:
        return len(sampler) == 0
    except TypeError:  # an endless sampler (IterableDataset) has no length
        return False


def _batch_sampler(loader: Iterable[object] | None) -> BatchSampler:
    if loader is None:
        fact, cause = "the batch factor has no loader to work on", "epoch(None, ...) was called"
        raise LoaderError(explain(fact, cause, _CURE))
    fact = f"the batch factor cannot be applied to this {type(loader).__name__}"
    if not isinstance(loader, DataLoader):
        raise LoaderError(explain(fact, "it is not a torch DataLoader", _CURE))
    sampler = loader.batch_sampler
    if sampler is None:
        raise LoaderError(explain(fact, "it was made with batch_size=None", _CURE))
    if not isinstance(sampler, BatchSampler) or type(sampler).__iter__ is not BatchSampler.__iter__:
        cause = f"its batch sampler {type(sampler).__name__} makes the batches itself"
        raise LoaderError(explain(fact, cause, _CURE))
    return sampler
