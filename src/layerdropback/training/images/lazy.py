"""Images that are read when they are asked for."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .decoding import decode


class LazySplit(ABC):
    """Images with their classes, read one by one; it can be pickled for a loader's workers.

    Attributes:
        labels: int64, on the CPU, shape ``(images,)``.
    """

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def source(self, index: int) -> tuple[str | BinaryIO, str]:
        """An image's file, by path or opened, and what to call it in an error."""

    def fingerprint(self) -> str:
        """Tells other images by their names, places and classes, as far as can be seen unread."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        digest.update(self.names())
        return digest.hexdigest()[:16]

    @abstractmethod
    def names(self) -> bytes:
        """What tells these images from others without reading them."""

    @abstractmethod
    def subset(self, indices: Sequence[int]) -> Self:
        """Only these images."""

    def picture(self, index: int) -> Image.Image:
        """Decode an image to RGB, the right way up.

        Raises:
            UsageError: it cannot be read, or has more than 8 bits a channel.
        """
        return decode(*self.source(index))

    def read(self, index: int) -> Tensor:
        """Decode an image.

        Returns:
            uint8, shape ``(3, height, width)``, strided as decoded: channels last.

        Raises:
            UsageError: see `picture`.
        """
        return torch.from_numpy(np.array(self.picture(index))).permute(2, 0, 1)
