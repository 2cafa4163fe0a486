"""Images with their classes: held in memory, or read when they are asked for."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .decoding import decode


@dataclass(frozen=True)
class Split:
    """Images in memory.

    Attributes:
        pixels: uint8, shape ``(images, channels, height, width)``.
        labels: int64, shape ``(images,)``.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> str:
        """Tells other images from these."""
        return _digest(self.labels, self.pixels.contiguous().numpy().data)

    def subset(self, indices: Sequence[int]) -> "Split":
        """Only these images."""
        chosen = torch.tensor(indices, dtype=torch.int64)
        return Split(self.pixels[chosen], self.labels[chosen])

    def read(self, index: int) -> Tensor:
        """One image, uint8, shape ``(channels, height, width)``."""
        return self.pixels[index]


@dataclass(frozen=True, eq=False)
class LazySplit(ABC):
    """Images that are read one by one; it can be pickled for a loader's workers.

    Attributes:
        labels: int64, on the CPU, shape ``(images,)``.
        items: what an image is found by. An array: a loader's workers share it as long as nobody
            writes to it, as counting a list's references would.
        skips: whether images that cannot be read are skipped.
    """

    labels: Tensor
    items: NDArray[Any]
    skips: bool = field(default=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def source(self, index: int) -> tuple[str | BinaryIO, str]:
        """An image's file, by path or opened, and what to call it in an error."""

    @abstractmethod
    def names(self) -> bytes:
        """What tells these images from others without reading them."""

    def fingerprint(self) -> str:
        """Tells other images by their names, places and classes, as far as can be seen unread."""
        return _digest(self.labels, self.names())

    def subset(self, indices: Sequence[int]) -> Self:
        """Only these images."""
        chosen = torch.tensor(indices, dtype=torch.int64)
        return replace(self, labels=self.labels[chosen], items=self.items[chosen.numpy()])

    def picture(self, index: int) -> Image.Image:
        """Decode an image to RGB, the right way up; see `decode`."""
        return decode(*self.source(index))

    def read(self, index: int) -> Tensor:
        """Decode an image: uint8, shape ``(3, height, width)``, strided channels last."""
        return torch.from_numpy(np.array(self.picture(index))).permute(2, 0, 1)


def _digest(labels: Tensor, images: bytes | memoryview) -> str:
    digest = hashlib.sha256(labels.numpy().tobytes())
    digest.update(images)
    return digest.hexdigest()[:16]
