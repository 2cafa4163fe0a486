"""Which augmentations a run's settings ask for."""

from typing import cast

from ..config import TrainConfig
from .augment import Augments, Crop
from .data import ImageData


def make_augments(config: TrainConfig, data: ImageData) -> Augments:
    """What is done to training images, with the choices that are left to the data."""
    if not config.augment:
        return Augments.none()
    by_data = "pad" if data.in_memory else "resized"
    return Augments(
        crop=cast(Crop, by_data if config.crop == "auto" else config.crop),
        flip=data.flips if config.flip is None else config.flip,
        rotate=config.rotate,
        randaugment=config.randaugment,
        erasing=config.erasing,
        mixup=config.mixup,
        cutmix=config.cutmix,
        scale=config.scale,
    )
