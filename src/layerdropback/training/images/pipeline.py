"""From images to batches on the device, the same ones for the same (seed, epoch, sample)."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import InterpolationMode, functional

from ...errors import UsageError
from .augment import Augmentation, Augments, EpochOrder, padding
from .data import ImageData, Split
from .mixing import Mixing
from .transforms import (
    CROP_PCT,
    INTERPOLATION,
    Images,
    TransformedImages,
    WithEpoch,
    collate,
    plain_transform,
    train_transform,
)

Batch = TypeVar("Batch", Tensor, range)

# Images in a batch for testing, where each has up to 64 pixels a side, and where more.
_SMALL, _TEST_BATCH, _TEST_BATCH_LARGE = 64, 512, 256

# Seconds that a worker goes on after SIGTERM, for the main process to finish its step.
_GRACE = 30.0


class Pipeline:
    """The batches of a run.

    Images in memory are augmented in batches on the device. Images that are read when they are
    needed, and augmentations that only work image by image, are the business of the loader's
    workers. Neither reads or moves a global random generator.

    Args:
        data: the images.
        augments: what is done to training images.
        batch_size: training images in a batch, of all workers; a multiple of their number.
        seed: of the order and the augmentations, in [0, 2**64).
        device: where the batches shall be.
        mean: of each channel, on [0, 1].
        std: standard deviation of each channel.
        interpolation: of what is resized, see `train_transform`.
        crop_pct: see `plain_transform`.
        workers: processes that read and transform images; 0 is the calling one.
        channels_last: make images channels-last in memory.
        share: (rank, count) of this worker; it makes its share of each batch.

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
        self._share = rank, count = share
        self._device, self._size = device, data.size
        self._interpolation = InterpolationMode(interpolation)
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._order = EpochOrder(len(data.train), seed, rank, count)
        self._labels = data.train.labels.to(device)
        self._mixing: Mixing | None = None
        if augments.mixup > 0 or augments.cutmix > 0:
            self._mixing = Mixing(augments.mixup, augments.cutmix, len(data.classes), seed)
        options: dict[str, Any] = {"pin_memory": device.type == "cuda"}
        self._augmentation: Augmentation | None = None
        if isinstance(data.train, Split) and not augments.by_image:
            self._pixels = data.train.pixels.to(device)
            pad = padding(data.size) if augments.crop == "pad" else 0
            self._augmentation = Augmentation(
                len(data.train), pad, augments.flip, seed, device, augments.rotate
            )
            # The loader hands out indices alone: workers would only slow it down.
            dataset: Any = range(len(data.train))
            options |= {"sampler": self._order, "collate_fn": torch.tensor}
        else:
            same_size = isinstance(data.train, Split)
            transform = train_transform(
                augments, data.size, mean, same_size, interpolation, crop_pct
            )
            dataset = TransformedImages(_reader(data.train), len(data.train), transform, seed)
            options |= {"sampler": WithEpoch(self._order), "collate_fn": collate}
            options |= _in_workers(workers)
        self.loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_size=batch_size // count,
            drop_last=True,  # a last batch of one image would stop BatchNorm
            generator=torch.Generator(),  # or each pass would move the global one
            **options,
        )
        self._test_batch = _TEST_BATCH if data.size <= _SMALL else _TEST_BATCH_LARGE
        self._test_labels = data.test.labels.to(device)
        self._test: Tensor | DataLoader[Any]
        if isinstance(data.test, Split):
            self._test = data.test.pixels.to(device)
        else:
            transform = plain_transform(data.size, False, interpolation, crop_pct)
            self._test = DataLoader(
                TransformedImages(_reader(data.test), len(data.test), transform, seed),
                batch_sampler=[
                    [(0, index) for index in self._shared(range(len(data.test))[part])]
                    for part in self._test_parts()
                ],
                collate_fn=collate,
                generator=torch.Generator(),
                pin_memory=device.type == "cuda",
                **_in_workers(workers),
            )
        self.set_epoch(0)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Take this epoch's order and augmentations from the loader's next pass on.

        Args:
            epoch: counted from 0.
            skip: this many of its first images are left out, as they were trained on already. Where
                it is a multiple of the batch size, the remaining batches are those of a whole
                epoch. The loader's length stays that of a whole one.
        """
        self._order.set_epoch(epoch, skip)
        if self._augmentation is not None:
            self._augmentation.set_epoch(epoch)

    def __call__(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Make a training batch of what the loader gave.

        Returns:
            Images on the device, normalised, float32, shape ``(batch, channels, size, size)``, and
            their labels, int64, shape ``(batch,)``; with mixup or cutmix each class's share,
            float32, shape ``(batch, classes)``.

        Raises:
            UsageError: an image could not be read; the text names it.
        """
        if self._augmentation is not None:
            samples = batch
            chosen = samples.to(self._device, non_blocking=True)
            images = self._augmentation(self._resized(self._pixels[chosen]), chosen)
        else:
            images, samples = self._received(batch)
            chosen = samples.to(self._device, non_blocking=True)
        images, targets = self._normalized(images), self._labels[chosen]
        if self._mixing is not None:
            # No two batches of an epoch have the same first image.
            first = int(samples[0])
            images, targets = self._mixing(images, targets, self._order.epoch, first)
        return images.contiguous(memory_format=self._format), targets

    def test_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images, in order, normalised, on the device, with their int64 labels.

        Of several workers each gets its share of every batch. One that is left with nothing gets an
        image without a label: a sharded model waits for all workers in each pass.

        Raises:
            UsageError: an image could not be read; the text names it.
        """
        for images, labels in self._tested():
            yield self._normalized(images).contiguous(memory_format=self._format), labels

    def close(self) -> None:
        """End the workers at once; a further pass begins new ones.

        Otherwise an error's traceback may hold them until garbage is collected, where torch takes
        seconds to end each.
        """
        for loader in (self.loader, self._test):
            iterator: Any = loader._iterator if isinstance(loader, DataLoader) else None
            if isinstance(loader, DataLoader) and iterator is not None:
                iterator._shutdown_workers()  # torch has no public name for it
                loader._iterator = None

    def _tested(self) -> Iterator[tuple[Tensor, Tensor]]:
        rank, count = self._share
        loaded = None if isinstance(self._test, Tensor) else iter(self._test)
        for part in self._test_parts():
            labels = self._test_labels[part][rank::count]
            if isinstance(self._test, Tensor):
                yield self._resized(self._shared(self._test[part])), labels
            else:
                assert loaded is not None
                yield self._received(next(loaded))[0], labels

    def _test_parts(self) -> Iterator[slice]:
        """Where the batches of the test are, those of all workers together."""
        for start in range(0, len(self._test_labels), self._test_batch):
            yield slice(start, start + self._test_batch)

    def _shared(self, batch: Batch) -> Batch:
        """This worker's share, or the first one where none is left for it."""
        rank, count = self._share
        mine = batch[rank::count]
        return mine if len(mine) else batch[:1]

    def _received(self, batch: Any) -> tuple[Tensor, Tensor]:
        """A loader's images on the device, and their numbers still on the CPU."""
        if isinstance(batch, str):
            raise UsageError(batch)
        images, samples = batch
        return images.to(self._device, non_blocking=True), samples

    def _resized(self, pixels: Tensor) -> Tensor:
        if pixels.shape[2:] == (self._size, self._size):
            return pixels
        side, mode = [self._size, self._size], self._interpolation
        resized: Tensor = functional.resize(pixels, side, mode, antialias=True)
        return resized

    def _normalized(self, pixels: Tensor) -> Tensor:
        # In place from the second operation on: the first has made a copy.
        return (pixels.float() / 255).sub_(self._mean).div_(self._std)


def _reader(split: Split | Images) -> Callable[[int], Tensor]:
    return split.pixels.__getitem__ if isinstance(split, Split) else split.read


def _in_workers(workers: int) -> dict[str, Any]:
    """A loader's arguments for so many workers, each of which torch gives one thread."""
    if workers == 0:
        return {}
    # Forked, workers share the images in memory; elsewhere than on Linux forking is not safe.
    context = "fork" if sys.platform == "linux" else None
    return {
        "num_workers": workers,
        "persistent_workers": True,
        "worker_init_fn": _begin_worker,
        "multiprocessing_context": context,
    }


def _begin_worker(number: int) -> None:
    """Leave signals to the main process, which may have a run to save, and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM often goes to the whole group. The main process may be waiting for this worker's batch
    # and cannot stop before it has it; a worker that a signal killed would be an error there.
    signal.signal(signal.SIGTERM, lambda *received: signal.setitimer(signal.ITIMER_REAL, _GRACE))
    signal.signal(signal.SIGALRM, lambda *received: os._exit(0))
