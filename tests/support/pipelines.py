"""Pipelines over images that are made up, in memory and as if from files."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from layerdropback import UsageError
from layerdropback.training.images.augment import Augments
from layerdropback.training.images.data import Split
from layerdropback.training.images.pipeline import Pipeline

CPU = torch.device("cpu")
COUNT, SIZE = 24, 16
PAD = Augments(crop="pad", flip=True)
BY_IMAGE = Augments("resized", True, rotate=10.0, randaugment=True, erasing=0.5)
MIXED = {"mixup": 0.4, "cutmix": 1.0}
NONE = Augments.none()
MESSAGE = "cannot read the image photo.png. Cause: it is broken. Cure: replace it."


@dataclass
class Files:
    """Images of any shape, made when they are read."""

    labels: torch.Tensor
    channels: int = 3
    broken: tuple[int, ...] = ()

    def __len__(self):
        return len(self.labels)

    def read(self, index):
        if index in self.broken:
            raise UsageError(MESSAGE)
        generator = torch.Generator().manual_seed(index)
        shape = (self.channels, 20 + index % 7, 20 + index % 5)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def in_memory(channels=3, size=SIZE, side=SIZE, count=COUNT):
    generator = torch.Generator().manual_seed(7)
    shape = (count, channels, side, side)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    split = Split(pixels, torch.arange(count) % 3)
    return data(split, split, size)


def from_files(channels=3, size=SIZE, **broken):
    labels = torch.arange(COUNT) % 3
    train, test = (Files(labels, channels, broken.get(name, ())) for name in ("train", "test"))
    return data(train, test, size)


def data(train, test, size):
    return SimpleNamespace(train=train, test=test, classes=("a", "b", "c"), size=size)


# The three ways from images to batches.
WAYS = {
    "on the device": (in_memory, replace(PAD, rotate=10.0)),
    "memory, by image": (in_memory, BY_IMAGE),
    "files": (from_files, replace(PAD, randaugment=True)),
}
every_way = pytest.mark.parametrize("way", WAYS)


def pipeline(images, augments=NONE, channels=3, **changed):
    arguments = {"batch_size": 4, "seed": 0, "device": CPU} | changed
    mean, std = [0.4, 0.5, 0.6][:channels], [0.1, 0.2, 0.3][:channels]
    return Pipeline(images, augments, mean=mean, std=std, **arguments)


def made(way, mixed=False, **changed):
    images, augments = WAYS[way]
    return pipeline(images(), replace(augments, **MIXED) if mixed else augments, **changed)


def numbers(batch):
    return (batch if isinstance(batch, torch.Tensor) else batch[1]).tolist()


def epoch(pipe, number=0, skip=0):
    """All batches of an epoch: numbers of the images, images, targets."""
    pipe.set_epoch(number, skip)
    made = ((batch, pipe(batch)) for batch in pipe.loader)
    return [(numbers(batch), *result) for batch, result in made]


def by_number(pipe, number=0):
    """Each image of an epoch by its number in the data set."""
    return {
        index: image
        for chosen, images, _ in epoch(pipe, number)
        for index, image in zip(chosen, images, strict=True)
    }


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])


def normalized(pixels):
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    return (pixels / 255 - mean[:, None, None]) / std[:, None, None]
