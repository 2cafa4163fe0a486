"""Mixup and cutmix: images of a batch are mixed with each other, and their classes too."""

from torch import Tensor
from torchvision.transforms import v2

from ...strategies.random import Stream
from .augment import cpu_generator


class Mixing:
    """torchvision's ``MixUp`` and ``CutMix``, drawn for each (seed, epoch, first image).

    Args:
        mixup: alpha of the Beta distribution of mixup's shares, 0 for no mixup.
        cutmix: the same for cutmix; where both are given, each batch takes one of them at random.
        classes: how many there are.
        seed: in [0, 2**64).

    Example:
        >>> import torch
        >>> mixing = Mixing(mixup=0.2, cutmix=0.0, classes=3, seed=0)
        >>> images, targets = mixing(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]), 5, 7)
        >>> targets.shape, targets.sum().item()
        (torch.Size([4, 3]), 4.0)
    """

    def __init__(self, mixup: float, cutmix: float, classes: int, seed: int):
        kinds = ((v2.MixUp, mixup), (v2.CutMix, cutmix))
        chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha > 0]
        self._mix = chosen[0] if len(chosen) == 1 else v2.RandomChoice(chosen)
        self._seed = seed

    def __call__(
        self, images: Tensor, labels: Tensor, epoch: int, first: int
    ) -> tuple[Tensor, Tensor]:
        """Mix a batch on the device where it is.

        Args:
            images: floats, shape ``(batch, channels, height, width)``.
            labels: int64, shape ``(batch,)``.
            epoch: counted from 0.
            first: number of the batch's first image in the data set.

        Returns:
            The mixed images, and each class's share, float32, shape ``(batch, classes)``.
        """
        # Both draw on the CPU alone, wherever the images are.
        with cpu_generator(self._seed, Stream.DATA_MIX, epoch, first):
            mixed: tuple[Tensor, Tensor] = self._mix(images, labels)
        return mixed
