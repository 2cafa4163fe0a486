"""Being told of every batch."""

from collections.abc import Callable, Iterator

from torch import Tensor

OnStep = Callable[[int], None]  # gets the number of images


def watched(
    batches: Iterator[tuple[Tensor, Tensor]], on_batch: OnStep | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches, each of them told before it is used.

    Example:
        >>> import torch
        >>> batches = iter([(torch.zeros(3), torch.zeros(3))])
        >>> for _ in watched(batches, print):
        ...     pass
        3
    """
    for images, labels in batches:
        if on_batch is not None:
            on_batch(len(images))
        yield images, labels
