"""A split's loader, and how what it gives becomes pixels on the device."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from ...errors import UsageError
from ...strategies.random import Stream
from .augment import Augmentation, EpochOrder, cpu_generator
from .splits import Split
from .unreadable import Unread, Unreadable

# (epoch, index), a loader's keys: workers that outlast an epoch learn of the next one by them.
Key = tuple[int, int]

# Seconds that a worker goes on after SIGTERM, for the main process to finish its step.
_GRACE = 30.0


class Held(Dataset[Any]):
    """A split in memory, augmented in batches: the loader hands out numbers alone.

    Args:
        split: its pixels go to the device.
        resize: to the side that the model gets.
        device: where the batches are made.
        augmentation: of training images.
    """

    def __init__(
        self,
        split: Split,
        resize: Callable[[Tensor], Tensor],
        device: torch.device,
        augmentation: Augmentation | None = None,
    ):
        self._pixels, self._resize = split.pixels.to(device), resize
        self._augmentation = augmentation

    def __getitems__(self, keys: list[Key]) -> list[Key]:
        return keys

    def collate(self, keys: list[Key]) -> tuple[int, Tensor]:
        """The epoch, and the images' numbers."""
        return keys[0][0], torch.tensor([index for _, index in keys])

    def on_device(self, epoch: int, samples: Tensor) -> Tensor:
        """The images of these numbers, as they are in this epoch."""
        images = self._resize(self._pixels[samples])
        if self._augmentation is None:
            return images
        if self._augmentation.epoch != epoch:
            self._augmentation.set_epoch(epoch)
        return self._augmentation(images, samples)


class Read(Dataset[Any]):
    """Images that are read and transformed one by one, by the loader's workers.

    Args:
        read: a split's method.
        transform: may draw from torch's global CPU generator, which is seeded for each image.
        seed: in [0, 2**64).
        instead: of an image that cannot be read, how many of the following ones are tried, as timm
            does it: a batch keeps its size. 0: it is left out; None: it ends the run.
        count: images of the split.
    """

    def __init__(
        self,
        read: Callable[[int], Tensor],
        transform: Callable[[Tensor], Tensor],
        seed: int,
        instead: int | None = None,
        count: int = 1,
    ):
        self._read, self._transform, self._seed = read, transform, seed
        self._instead, self._count = instead, count

    def __getitem__(self, key: Key) -> tuple[Tensor | None, int, list[Unreadable]] | str:
        """An image, its number, and those that could not be read in its place.

        Or why there is none, which no worker may raise: a loader would put the worker's traceback
        into the exception's text.
        """
        epoch, index = key
        number, image, unread = index, None, []
        for number in range(index, index + 1 + (self._instead or 0)):
            try:
                image = self._read(number % self._count)
                break
            except Unreadable as error:
                unread.append(error)
            except UsageError as error:
                return str(error)
        if image is None:
            return (None, index, unread) if self._instead == 0 else str(unread[0])
        with cpu_generator(self._seed, Stream.DATA_IMAGE, epoch, index):
            return self._transform(image), number % self._count, unread

    def collate(self, items: list[tuple[Tensor | None, int, list[Unreadable]] | str]) -> Any:
        """Images in bytes, their numbers and what was unreadable, or why there are none."""
        found = []
        for item in items:
            if isinstance(item, str):
                return item
            found.append(item)
        unread = [error for *_, errors in found for error in errors]
        read = [(image, number) for image, number, _ in found if image is not None]
        read = read or self._any_image()
        return [*default_collate(read), unread] if read else str(unread[0])

    def _any_image(self) -> list[tuple[Tensor, int]]:
        """For the model to see something where no image of a batch can be read; it counts not."""
        for number in range(self._count):
            with suppress(Unreadable):
                return [(self._transform(self._read(number)), number)]
        return []

    def on_device(self, images: Tensor, samples: Tensor) -> Tensor:
        """The images that were read, where their numbers are."""
        return images.to(samples.device, non_blocking=True)


class Feed(DataLoader[Any]):
    """A split's loader, which makes pixels and labels on the device of the batches that it gave.

    It reads and moves no global generator.

    Args:
        images: what it loads.
        labels: of these images.
        device: where the batches shall be.
        workers: processes that read images; 0 is the calling one.
        options: of ``DataLoader``: which images, in which batches.

    Attributes:
        unread: the images that could not be read, of the batches that were made.
    """

    def __init__(
        self,
        images: Held | Read,
        labels: Tensor,
        device: torch.device,
        workers: int,
        **options: Any,
    ):
        self._images, self._labels = images, labels.to(device)
        self.unread = Unread()
        if workers and isinstance(images, Read):  # numbers alone would only be slowed down
            options |= {
                "num_workers": workers,
                "persistent_workers": True,
                "worker_init_fn": _begin_worker,
                # Forked, workers share the images in memory; elsewhere forking is not safe.
                "multiprocessing_context": "fork" if sys.platform == "linux" else None,
            }
        super().__init__(
            images,
            collate_fn=images.collate,
            generator=torch.Generator(),  # or each pass would move the global one
            pin_memory=device.type == "cuda",
            **options,
        )

    def __call__(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Pixels and labels on the device.

        Raises:
            UsageError: an image could not be read; the text names it.
        """
        if isinstance(batch, str):
            raise UsageError(batch)
        pixels, samples, *unread = batch
        self.unread.add(error for errors in unread for error in errors)
        chosen = samples.to(self._labels.device, non_blocking=True)
        return self._images.on_device(pixels, chosen), self._labels[chosen]

    def close(self) -> None:
        """End the workers at once; a further pass begins new ones.

        Otherwise an error's traceback may hold them until garbage is collected, where torch takes
        seconds to end each.
        """
        iterator: Any = self._iterator
        if iterator is not None:
            iterator._shutdown_workers()  # torch has no public name for it
            self._iterator = None


class WithEpoch(Sampler[Key]):
    """The keys of an epoch's images.

    Example:
        >>> order = EpochOrder(3, seed=0)
        >>> order.set_epoch(7)
        >>> sorted(WithEpoch(order))
        [(7, 0), (7, 1), (7, 2)]
    """

    def __init__(self, order: EpochOrder):
        self._order = order

    def __iter__(self) -> Iterator[Key]:
        return zip(repeat(self._order.epoch), self._order, strict=False)

    def __len__(self) -> int:
        return len(self._order)


def _begin_worker(number: int) -> None:
    """Leave signals to the main process, which may have a run to save, and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM often goes to the whole group. The main process may be waiting for this worker's batch
    # and cannot stop before it has it; a worker that a signal killed would be an error there.
    signal.signal(signal.SIGTERM, lambda *received: signal.setitimer(signal.ITIMER_REAL, _GRACE))
    signal.signal(signal.SIGALRM, lambda *received: os._exit(0))
