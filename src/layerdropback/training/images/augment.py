"""The random side of the data: the order of images, their crops, flips and rotations.

All are drawn from (seed, epoch, image) alone, so none depends on another, on workers, or on where
a run was stopped. The samplers and transforms of torch, torchvision and timm draw from generators
that go on from image to image; torch's ``DistributedSampler`` adds epoch and seed, so that the next
seed's orders are this one's, an epoch later.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Sampler

from ...strategies.random import Stream, random_numbers
from ..config import TrainConfig
from .data import ImageData

Crop = Literal["pad", "resized", "none"]


@dataclass(frozen=True)
class Augments:
    """What is done to training images.

    Attributes:
        crop: ``"pad"`` cuts the image out of itself with a black border of an eighth of its side,
            ``"resized"`` a part of its area, resized; ``"none"`` as in testing.
        flip: mirror half of the images.
        rotate: degrees; each image turns by an angle uniform on ``[-rotate, rotate]``.
        randaugment: two random operations of ``torchvision.transforms.v2.RandAugment``.
        erasing: probability that a rectangle is replaced by the mean colour.
        mixup: alpha of the Beta distribution of mixup's shares; 0 is none.
        cutmix: the same for cutmix; with both, each batch takes one of them.
        scale: least share of an image's area that ``"resized"`` cuts out.

    Example:
        >>> Augments(crop="pad", flip=True).by_image
        False
    """

    crop: Crop = "pad"
    flip: bool = True
    rotate: float = 0.0
    randaugment: bool = False
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    scale: float = 0.08

    @classmethod
    def none(cls) -> "Augments":
        """Nothing at all: training images are seen as in testing."""
        return cls(crop="none", flip=False)

    @property
    def by_image(self) -> bool:
        """Whether there is one that only works image by image, not on a batch."""
        return self.crop == "resized" or self.randaugment or self.erasing > 0


def make_augments(config: TrainConfig, data: ImageData) -> Augments:
    """What a run's settings ask for, with the choices that are left to the data."""
    if not config.augment:
        return Augments.none()
    asked: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(Augments)}
    if config.crop == "auto":
        asked["crop"] = "pad" if data.in_memory else "resized"
    if config.flip is None:
        asked["flip"] = data.flips
    return Augments(**asked)


def padding(size: int) -> int:
    """Pixels of border, on each side, of which ``crop="pad"`` cuts an image of this side.

    Example:
        >>> padding(32), padding(4)
        (4, 1)
    """
    return max(1, size // 8)


@contextmanager
def cpu_generator(seed: int, stream: Stream, epoch: int, number: int) -> Iterator[None]:
    """Seed torch's global CPU generator for a while, for code that draws from nothing else.

    Inside, it depends on the arguments alone; afterwards it is where it was before.

    Args:
        seed: in [0, 2**64).
        stream: what is drawn for.
        epoch: counted from 0.
        number: of the image in the data set; of a batch's first image for `Stream.DATA_MIX`.

    Example:
        >>> with cpu_generator(0, Stream.DATA_IMAGE, epoch=2, number=7):
        ...     first = torch.rand(3)
        >>> with cpu_generator(0, Stream.DATA_IMAGE, epoch=2, number=7):
        ...     bool((torch.rand(3) == first).all())
        True
    """
    key = np.array([seed, int(stream)], dtype=np.uint64)
    counter = np.array([number, epoch, 0, 0], dtype=np.uint64)
    drawn = int(np.random.Philox(key=key, counter=counter).random_raw())
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would move the generators of GPUs too.
        torch.default_generator.manual_seed(drawn >> 1)
        yield


class EpochOrder(Sampler[int]):
    """The images in an order of its own for each (seed, epoch).

    Of several ranks each has every so many of them, so that their batches together are those of one
    process.

    Args:
        samples: number of training images.
        seed: in [0, 2**64).
        rank: of this process, from 0.
        ranks: how many there are; what does not go round is left out.

    Example:
        >>> order = EpochOrder(5, seed=0)
        >>> sorted(order)
        [0, 1, 2, 3, 4]
    """

    def __init__(self, samples: int, seed: int, rank: int = 0, ranks: int = 1):
        self._samples, self._seed, self._rank, self._ranks = samples, seed, rank, ranks
        self.set_epoch(0)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Take the order of this epoch from now on.

        Args:
            epoch: counted from 0.
            skip: this many of its first images are left out, those of all ranks counted.
        """
        if not 0 <= skip <= self._samples:
            raise ValueError(f"cannot skip {skip} of {self._samples} images")
        drawn = random_numbers(self._seed, Stream.DATA_ORDER, epoch, self._samples)
        self._indices: list[int] = drawn.argsort(kind="stable").tolist()
        self.epoch, self._skip = epoch, skip

    def __iter__(self) -> Iterator[int]:
        whole = self._samples // self._ranks * self._ranks
        return iter(self._indices[self._skip : whole][self._rank :: self._ranks])

    def __len__(self) -> int:
        """Images of a whole epoch, whatever is skipped: a run's steps are counted by it."""
        return self._samples // self._ranks


class Augmentation:
    """Crops with padding, flips and rotations of batches, drawn for each (seed, epoch, image).

    torchvision's transforms draw once for a batch, and kornia's for an image by its place in it. An
    image's augmentation here does not depend on its batch, so it is the same with and without
    LayerDropBack, and whatever the batch size.

    Args:
        samples: number of training images.
        pad: pixels of black border from which the crop is taken.
        flips: whether to mirror half of the images.
        seed: in [0, 2**64).
        device: where the images are.
        rotate: the largest angle in degrees, either way.
    """

    def __init__(
        self,
        samples: int,
        pad: int,
        flips: bool,
        seed: int,
        device: torch.device,
        rotate: float = 0.0,
    ):
        self._samples, self._pad, self._flips, self._rotate = samples, pad, flips, rotate
        self._seed, self._device = seed, device
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the numbers of an epoch."""
        drawn = random_numbers(self._seed, Stream.DATA_CROP, epoch, 4 * self._samples)
        numbers = torch.from_numpy(drawn).view(4, self._samples)
        self._shifts = (numbers[:2] * (2 * self._pad + 1)).long().to(self._device)
        self._mirrored = (numbers[2] < 0.5).to(self._device)
        self._angles = ((2 * numbers[3] - 1) * math.radians(self._rotate)).to(self._device)
        self.epoch = epoch

    def __call__(self, images: Tensor, samples: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            images: shape ``(batch, channels, height, width)``; square where they are rotated.
            samples: the images' numbers in the data set, shape ``(batch,)``.

        Returns:
            The same shape and type; float32 where they are rotated.
        """
        if self._pad:
            images = _crop(images, self._pad, *self._shifts[:, samples])
        if self._flips:
            mirrored = self._mirrored[samples].view(-1, 1, 1, 1)
            images = torch.where(mirrored, images.flip(3), images)
        if self._rotate:
            images = _turn(images, self._angles[samples])
        return images


def _crop(images: Tensor, pad: int, down: Tensor, right: Tensor) -> Tensor:
    height, width = images.shape[2:]
    windows = functional.pad(images, (pad,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view
    return windows[torch.arange(len(images), device=images.device), :, down, right]


def _turn(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate each image about its centre by its angle in radians, black where nothing was."""
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rows = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1)
    # In float64 the grid is kept from TF32 and autocast, which would blur it by whole pixels.
    grid = functional.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images.float(), grid.float(), align_corners=False)
