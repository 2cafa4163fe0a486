"""The random side of the data: the order of images, their crops and flips.

Both are drawn from (seed, epoch, sample) alone, so neither depends on the other, on workers, or on
where a run was stopped.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler

from ..sampling import random_numbers

# Numbers of their own, apart from the masks' (`sampling.STEPS`, `sampling.EPOCHS`).
_STREAM, _ORDER = 2, 3


class EpochOrder(Sampler[int]):
    """The images in an order of its own for each (seed, epoch).

    Args:
        samples: number of training images.
        seed: in [0, 2**64).

    Example:
        >>> order = EpochOrder(5, seed=0)
        >>> sorted(order)
        [0, 1, 2, 3, 4]
    """

    def __init__(self, samples: int, seed: int):
        self._samples, self._seed = samples, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on."""
        drawn = random_numbers(self._seed, _ORDER, epoch, self._samples)
        self._indices: list[int] = drawn.argsort(kind="stable").tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        return self._samples


class Augmentation:
    """Crops with padding, and flips, drawn for each (seed, epoch, sample).

    An image's augmentation does not depend on its batch, so it is the same with and without
    LayerDropBack, and whatever the batch size.

    Args:
        samples: number of training images.
        pad: pixels of black border from which the crop is taken.
        flips: whether to mirror half of the images.
        seed: in [0, 2**64).
        device: where the images are.
    """

    def __init__(self, samples: int, pad: int, flips: bool, seed: int, device: torch.device):
        self._samples, self._pad, self._flips = samples, pad, flips
        self._seed, self._device = seed, device
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the numbers of an epoch."""
        drawn = random_numbers(self._seed, _STREAM, epoch, 3 * self._samples)
        numbers = torch.from_numpy(drawn).view(3, self._samples)
        self._shifts = (numbers[:2] * (2 * self._pad + 1)).long().to(self._device)
        self._mirrored = (numbers[2] < 0.5).to(self._device)

    def __call__(self, images: Tensor, samples: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            images: shape ``(batch, channels, height, width)``.
            samples: the images' numbers in the data set, shape ``(batch,)``.

        Returns:
            The same shape and type.
        """
        if self._pad:
            images = _crop(images, self._pad, *self._shifts[:, samples])
        if self._flips:
            mirrored = self._mirrored[samples].view(-1, 1, 1, 1)
            images = torch.where(mirrored, images.flip(3), images)
        return images


def _crop(images: Tensor, pad: int, down: Tensor, right: Tensor) -> Tensor:
    count, _, height, width = images.shape
    padded = functional.pad(images, (pad,) * 4)
    device = images.device
    rows = (down.view(-1, 1) + torch.arange(height, device=device)).view(count, 1, height, 1)
    columns = (right.view(-1, 1) + torch.arange(width, device=device)).view(count, 1, 1, width)
    batch = torch.arange(count, device=device).view(-1, 1, 1, 1)
    channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
    return padded[batch, channels, rows, columns]
