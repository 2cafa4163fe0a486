"""What torchvision does to images: to one that is read, to one that is tested, to a mixed batch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from .augment import Augments, padding

Transform = Callable[[Tensor], Tensor]

# How images are resized, and which share of the side is cut out of them (224 pixels of 256, by
# custom), where no pretrained weights say it.
INTERPOLATION, CROP_PCT = "bilinear", 224 / 256


def train_transform(
    augments: Augments,
    size: int,
    mean: Sequence[float],
    same_size: bool,
    interpolation: str = INTERPOLATION,
    crop_pct: float = CROP_PCT,
) -> Transform:
    """What is done to one training image.

    It draws from torch's global CPU generator alone, which timm's transforms do not.

    Args:
        augments: which augmentations; `mixup` and `cutmix` are none of an image's own.
        size: side in pixels of the result.
        mean: of each channel on [0, 1], for what is erased.
        same_size: whether all images are squares of one size, so that nothing need be cut off.
        interpolation: of what is resized, ``"bilinear"`` or ``"bicubic"``.
        crop_pct: see `plain_transform`.

    Returns:
        From uint8, shape ``(channels, height, width)``, to uint8, ``(channels, size, size)``.

    Example:
        >>> import torch
        >>> transform = train_transform(Augments("resized"), 16, [0.5], same_size=False)
        >>> transform(torch.zeros(1, 30, 40, dtype=torch.uint8)).shape
        torch.Size([1, 16, 16])
    """
    bilinear, mode = v2.InterpolationMode.BILINEAR, v2.InterpolationMode(interpolation)
    steps: list[Transform] = []
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
    transform: Transform = v2.Compose(steps)
    return transform


def plain_transform(
    size: int, same_size: bool, interpolation: str = INTERPOLATION, crop_pct: float = CROP_PCT
) -> Transform:
    """What is done to test images: they are resized, and their centre is cut out.

    Args:
        size: side in pixels of the result.
        same_size: whether all images are squares of one size; they are only resized.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        crop_pct: share of the side that the centre of an image larger than `size` has.

    Returns:
        From uint8, shape ``(..., channels, height, width)``, to ``(..., channels, size, size)``.

    Example:
        >>> import torch
        >>> plain_transform(16, same_size=False)(torch.zeros(1, 30, 40, dtype=torch.uint8)).shape
        torch.Size([1, 16, 16])
    """
    mode = v2.InterpolationMode(interpolation)
    if same_size:
        return partial(functional.resize, size=[size, size], interpolation=mode, antialias=True)
    return partial(_centre, size=size, larger=round(size / crop_pct), mode=mode)


def _centre(image: Tensor, size: int, larger: int, mode: v2.InterpolationMode) -> Tensor:
    side = larger if min(image.shape[-2:]) > size else size  # of a small image nothing is lost
    resized = functional.resize(image, [side], mode, antialias=True)
    centre: Tensor = functional.center_crop(resized, [size, size])
    return centre


def mixing(augments: Augments, classes: int) -> Any | None:
    """Mixup, cutmix, or either at random, of a batch, drawn on the CPU; None for neither.

    Example:
        >>> import torch
        >>> mix = mixing(Augments(mixup=0.2), classes=3)
        >>> images, targets = mix(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
        >>> targets.shape, round(targets.sum().item(), 3)  # the parts are drawn
        (torch.Size([4, 3]), 4.0)
    """
    kinds = ((v2.MixUp, augments.mixup), (v2.CutMix, augments.cutmix))
    chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha > 0]
    return v2.RandomChoice(chosen) if chosen else None
