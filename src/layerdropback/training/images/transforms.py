"""Images one by one: read, and transformed as torchvision does it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate
from torchvision.transforms import v2

from ...errors import UsageError
from ...strategies.random import Stream
from .augment import Augments, EpochOrder, cpu_generator, padding

# How images are resized, and which share of the side is cut out of them (224 pixels of 256, by
# custom), where no pretrained weights say it.
INTERPOLATION, CROP_PCT = "bilinear", 224 / 256

# Images in bytes, and their numbers in the data set; or why one of them could not be read.
Batch = tuple[Tensor, Tensor] | str
Item = tuple[Tensor, int] | str


class Images(Protocol):
    """A split whose images are read when they are needed, of any size."""

    labels: Tensor

    def __len__(self) -> int: ...

    def read(self, index: int) -> Tensor:
        """One image, uint8, shape ``(channels, height, width)``; UsageError if it cannot be."""


def train_transform(
    augments: Augments,
    size: int,
    mean: Sequence[float],
    same_size: bool,
    interpolation: str = INTERPOLATION,
    crop_pct: float = CROP_PCT,
) -> Callable[[Tensor], Tensor]:
    """What is done to one training image.

    Args:
        augments: which augmentations; `mixup` and `cutmix` are none of an image's own.
        size: side in pixels of the result.
        mean: of each channel on [0, 1], for what is erased.
        same_size: whether all images are squares of one size, so that nothing need be cut off.
        interpolation: of what is resized, ``"bilinear"`` or ``"bicubic"``.
        crop_pct: see `plain_transform`.

    Returns:
        From uint8, shape ``(channels, height, width)``, to uint8, ``(channels, size, size)``.
        It draws from torch's global CPU generator, and from no other.

    Example:
        >>> import torch
        >>> transform = train_transform(Augments("resized"), 16, [0.5], same_size=False)
        >>> transform(torch.zeros(1, 30, 40, dtype=torch.uint8)).shape
        torch.Size([1, 16, 16])
    """
    bilinear, mode = v2.InterpolationMode.BILINEAR, v2.InterpolationMode(interpolation)
    steps: list[Callable[[Tensor], Tensor]] = []
    if augments.crop == "resized":
        scale = (augments.scale, 1.0)
        steps.append(v2.RandomResizedCrop(size, scale, interpolation=mode, antialias=True))
    elif augments.crop == "pad":
        steps.append(v2.Resize([size, size] if same_size else size, mode, antialias=True))
        steps.append(v2.RandomCrop(size, padding=padding(size)))
    else:
        steps.append(plain_transform(size, same_size, interpolation, crop_pct))
    if augments.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augments.rotate:
        steps.append(v2.RandomRotation(augments.rotate, interpolation=bilinear))
    if augments.randaugment:
        steps.append(v2.RandAugment(interpolation=bilinear))
    if augments.erasing:
        colour = [round(255 * value) for value in mean]
        steps.append(v2.RandomErasing(augments.erasing, value=colour))
    transform: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return transform


def plain_transform(
    size: int, same_size: bool, interpolation: str = INTERPOLATION, crop_pct: float = CROP_PCT
) -> Callable[[Tensor], Tensor]:
    """What is done to one test image: resized, and its centre cut out.

    Args:
        size: side in pixels of the result.
        same_size: whether all images are squares of one size; they are only resized.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        crop_pct: share of the side that the centre of an image larger than `size` has.

    Returns:
        From uint8, shape ``(channels, height, width)``, to uint8, ``(channels, size, size)``.

    Example:
        >>> import torch
        >>> plain_transform(16, same_size=False)(torch.zeros(1, 30, 40, dtype=torch.uint8)).shape
        torch.Size([1, 16, 16])
    """
    mode = v2.InterpolationMode(interpolation)
    if same_size:
        whole: Callable[[Tensor], Tensor] = v2.Resize([size, size], mode, antialias=True)
        return whole
    shrink = v2.Resize(round(size / crop_pct), mode, antialias=True)
    grow = v2.Resize(size, mode, antialias=True)
    crop = v2.CenterCrop(size)

    def transform(image: Tensor) -> Tensor:
        result: Tensor = crop(shrink(image) if min(image.shape[1:]) > size else grow(image))
        return result

    return transform


class TransformedImages(Dataset[Item]):
    """A data set for a loader; its keys are pairs (epoch, index).

    Args:
        read: gives an image by its index.
        count: how many there are.
        transform: may draw from torch's global CPU generator, which is seeded for each image.
        seed: in [0, 2**64).
    """

    def __init__(
        self,
        read: Callable[[int], Tensor],
        count: int,
        transform: Callable[[Tensor], Tensor],
        seed: int,
    ):
        self._read, self._count, self._transform, self._seed = read, count, transform, seed

    def __getitem__(self, key: tuple[int, int]) -> Item:
        """An image and its index; or why it cannot be read, which no worker may raise.

        A loader would put the worker's traceback into the exception's text.
        """
        epoch, index = key
        try:
            image = self._read(index)
        except UsageError as error:
            return str(error)
        with cpu_generator(self._seed, Stream.DATA_IMAGE, epoch, index):
            return self._transform(image), index

    def __len__(self) -> int:
        return self._count


def collate(items: list[Item]) -> Batch:
    """Make a batch, or hand on the first reason why there is none.

    Example:
        >>> import torch
        >>> collate([(torch.zeros(3), 1), "it is broken"])
        'it is broken'
    """
    for item in items:
        if isinstance(item, str):
            return item
    images, samples = default_collate(items)
    return images, samples


class WithEpoch(Sampler[tuple[int, int]]):
    """Pairs (epoch, index): workers that outlast an epoch learn of the next one by their keys.

    Example:
        >>> order = EpochOrder(3, seed=0)
        >>> order.set_epoch(7)
        >>> sorted(WithEpoch(order))
        [(7, 0), (7, 1), (7, 2)]
    """

    def __init__(self, order: EpochOrder):
        self._order = order

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self._order.epoch, index) for index in self._order)

    def __len__(self) -> int:
        return len(self._order)
