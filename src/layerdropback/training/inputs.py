"""What a network wants of its images, in timm's words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .images.transforms import CROP_PCT, INTERPOLATION


@dataclass(frozen=True)
class Inputs:
    """How images become a network's input; the fields are those of timm's data config.

    Attributes:
        mean: of each channel (mostly 3, whatever the network's own channels are), on [0, 1].
        std: standard deviation of each channel.
        interpolation: of what is resized.
        crop_pct: share of the side that is cut out of a resized image in testing.
    """

    mean: list[float]
    std: list[float]
    interpolation: str = INTERPOLATION
    crop_pct: float = CROP_PCT

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of timm's data config, or out of what is kept with a run's weights.

        Raises:
            KeyError: there is no mean or no standard deviation.
            TypeError: one of the values is of another kind, as with ValueError.

        Example:
            >>> Inputs.read({"mean": (0.5,), "std": (0.2,), "interpolation": "lanczos"})
            Inputs(mean=[0.5], std=[0.2], interpolation='bicubic', crop_pct=0.875)
        """
        try:
            mean, std = ([float(number) for number in values[key]] for key in ("mean", "std"))
            share = float(values.get("crop_pct", CROP_PCT))
        except OverflowError as error:
            raise ValueError("a number is too large") from error
        # Tensors are resized in these two ways; timm knows some more, which are like the second.
        name = values.get("interpolation", INTERPOLATION)
        if not 0 < share <= 1:
            raise ValueError("crop_pct is a share")
        if not 1 <= len(mean) == len(std):
            raise ValueError(f"mean has {len(mean)} numbers, std has {len(std)}")
        if not (all(map(math.isfinite, mean)) and all(0 < each < math.inf for each in std)):
            raise ValueError("mean and std are finite, and std is above 0")
        return cls(mean, std, name if name == "bilinear" else "bicubic", share)

    def for_images(self, size: int, in_memory: bool) -> Self:
        """The same with the share that testing really cuts out, by timm's rounding as by ours.

        Args:
            size: side in pixels of the network's images.
            in_memory: whether they are, and so have been cut already.

        Example:
            >>> Inputs([0.5], [0.5]).for_images(96, in_memory=False).crop_pct
            0.8727
        """
        share = 1.0 if in_memory else math.floor(1e4 * size / round(size / self.crop_pct)) / 1e4
        return type(self)(self.mean, self.std, self.interpolation, share)
