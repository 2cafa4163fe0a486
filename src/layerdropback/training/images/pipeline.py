"""From images to batches on the device, the same ones for the same (seed, epoch, image)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...strategies.random import Stream
from ..config import TrainConfig
from ..inputs import Inputs
from ..workers import ALONE, Workers, readers
from .augment import Augmentation, Augments, EpochOrder, cpu_generator, make_augments, padding
from .data import ImageData, LazySplit, Split
from .loaders import Feed, Held, Read, WithEpoch
from .transforms import CROP_PCT, INTERPOLATION, mixing, plain_transform, train_transform
from .unreadable import MOST

# Images in a batch for testing, where each has up to 64 pixels a side, and where more.
_SMALL, _TEST_BATCH, _TEST_BATCH_LARGE = 64, 512, 256


class Pipeline:
    """The batches of a run.

    Images in memory are augmented in batches on the device. Images that are read when they are
    needed, and augmentations that only work image by image, are the business of the loader's
    workers. Neither reads or moves a global random generator.

    Args:
        data: the images.
        augments: what is done to training images.
        batch_size: training images in a batch, of all ranks; a multiple of their number.
        seed: of the order and the augmentations, in [0, 2**64).
        device: where the batches shall be.
        mean: of each channel, on [0, 1].
        std: standard deviation of each channel.
        interpolation: of what is resized, see `train_transform`.
        crop_pct: see `plain_transform`.
        workers: processes that read and transform images; 0 is the calling one.
        channels_last: make images channels-last in memory.
        share: (rank, ranks) of this process; it makes its share of each batch.

    Attributes:
        loader: training batches, to be handed to the pipeline one by one.

    Example:
        >>> from layerdropback.training.images.data import load_data
        >>> data, cpu = load_data("digits", limit_train=64), torch.device("cpu")
        >>> pipeline = Pipeline(
        ...     data, Augments(), batch_size=32, seed=0, device=cpu, mean=[0.3], std=[0.4]
        ... )
        >>> pipeline.set_epoch(3)
        >>> for batch in pipeline.loader:
        ...     images, labels = pipeline(batch)
        ...     print(images.shape, labels.shape)
        torch.Size([32, 1, 8, 8]) torch.Size([32])
        torch.Size([32, 1, 8, 8]) torch.Size([32])
    """

    def __init__(
        self,
        data: ImageData,
        augments: Augments,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: str = INTERPOLATION,
        crop_pct: float = CROP_PCT,
        workers: int = 0,
        channels_last: bool = False,
        share: tuple[int, int] = (0, 1),
    ):
        rank, ranks = share
        self._seed = seed
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._mixing = mixing(augments, len(data.classes))
        self._order = EpochOrder(len(data.train), seed, rank, ranks)
        inputs = Inputs(list(mean), list(std), interpolation, crop_pct)
        self.loader = Feed(
            _training(data, augments, inputs, seed, device),
            data.train.labels,
            device,
            workers,
            sampler=WithEpoch(self._order),
            batch_size=batch_size // ranks,
            drop_last=True,  # a last batch of one image would stop BatchNorm
        )
        self._shares, batches = _test_shares(len(data.test), data.size, rank, ranks)
        test = _testing(data, inputs, seed, device)
        self._test = Feed(test, data.test.labels, device, workers, batch_sampler=batches)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Take this epoch's order and augmentations from the loader's next pass on.

        Args:
            epoch: counted from 0.
            skip: this many of its first images are left out, as they were trained on already. Where
                it is a multiple of the batch size, the remaining batches are those of a whole
                epoch. The loader's length stays that of a whole one.
        """
        self._order.set_epoch(epoch, skip)

    def __call__(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Make a training batch of what the loader gave.

        Returns:
            Images on the device, normalised, float32, shape ``(batch, channels, size, size)``, and
            their labels, int64, shape ``(batch,)``; with mixup or cutmix each class's share,
            float32, shape ``(batch, classes)``.

        Raises:
            UsageError: an image could not be read; the text names it.
        """
        pixels, targets = self.loader(batch)
        images = self._normalized(pixels)
        if self._mixing is not None:
            # No two batches of an epoch have the same first image.
            first = int(batch[1][0])
            with cpu_generator(self._seed, Stream.DATA_MIX, self._order.epoch, first):
                images, targets = self._mixing(images, targets)
        return images.contiguous(memory_format=self._format), targets

    def test_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images, in order, normalised, on the device, with their int64 labels.

        Of several ranks each gets its share of every batch. One that is left with nothing gets an
        image without a label: a sharded model waits for all ranks in each pass.

        Raises:
            UsageError: an image could not be read; the text names it.
        """
        for batch, own in zip(self._test, self._shares, strict=True):
            pixels, labels = self._test(batch)
            images = self._normalized(pixels)
            unread = len(batch[2]) if len(batch) > 2 else 0
            yield images.contiguous(memory_format=self._format), labels[: max(0, own - unread)]

    def count_unread(self) -> int:
        """How many training images could not be read since the last call."""
        return self.loader.unread.take()

    def tell_unread(self, workers: Workers = ALONE) -> int:
        """Name in a warning the images that could not be read, unless they were named before.

        Args:
            workers: that train together, all of which ask; the first one warns.

        Returns:
            How many of the test's could not since the last call, of all workers.
        """
        for feed in (self.loader, self._test):
            feed.unread.tell(workers)
        return sum(workers.gathered(self._test.unread.take()))

    def close(self) -> None:
        """End the workers at once; a further pass begins new ones."""
        self.loader.close()
        self._test.close()

    def _normalized(self, pixels: Tensor) -> Tensor:
        # In place from the second operation on: the first has made a copy.
        return (pixels.float() / 255).sub_(self._mean).div_(self._std)


def make_pipeline(
    config: TrainConfig, data: ImageData, inputs: Inputs, device: torch.device, workers: Workers
) -> Pipeline:
    """The batches of a run, by its settings.

    Args:
        config: of the run.
        data: the images.
        inputs: what the network wants of them.
        device: where the batches shall be.
        workers: that train together with this process.
    """
    return Pipeline(
        data,
        make_augments(config, data),
        batch_size=config.batch_size,
        seed=config.seed,
        device=device,
        **asdict(inputs),
        workers=readers(workers) if config.workers is None else config.workers,
        channels_last=config.channels_last,
        share=(workers.rank, workers.count),
    )


def _training(
    data: ImageData, augments: Augments, inputs: Inputs, seed: int, device: torch.device
) -> Held | Read:
    size, same_size = data.size, isinstance(data.train, Split)
    if isinstance(data.train, Split) and not augments.by_image:
        pad = padding(size) if augments.crop == "pad" else 0
        augmentation = Augmentation(
            len(data.train), pad, augments.flip, seed, device, augments.rotate
        )
        resize = plain_transform(size, same_size, inputs.interpolation)
        return Held(data.train, resize, device, augmentation)
    transform = train_transform(
        augments, size, inputs.mean, same_size, inputs.interpolation, inputs.crop_pct
    )
    skips = isinstance(data.train, LazySplit) and data.train.skips
    return Read(data.train.read, transform, seed, MOST if skips else None, len(data.train))


def _testing(data: ImageData, inputs: Inputs, seed: int, device: torch.device) -> Held | Read:
    if isinstance(data.test, Split):
        return Held(data.test, plain_transform(data.size, True, inputs.interpolation), device)
    transform = plain_transform(data.size, False, inputs.interpolation, inputs.crop_pct)
    # Another in its place would count twice.
    instead = 0 if isinstance(data.test, LazySplit) and data.test.skips else None
    return Read(data.test.read, transform, seed, instead, len(data.test))


def _test_shares(
    images: int, size: int, rank: int, ranks: int
) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """How many of each test batch are this rank's own, and the keys of what it gets."""
    step = _TEST_BATCH if size <= _SMALL else _TEST_BATCH_LARGE
    batches = [range(images)[start : start + step] for start in range(0, images, step)]
    own = [batch[rank::ranks] for batch in batches]
    got = [mine or batch[:1] for mine, batch in zip(own, batches, strict=True)]
    return [len(mine) for mine in own], [[(0, index) for index in some] for some in got]
