"""Images per second of a loop in the style of the authors' scripts, and of `ldb train`'s trainer.

    python -m benchmarks authors-loop --out benchmarks/results/NAME

The same network, optimizer and augmentation, a full epoch and a drop epoch in each round. As in the
scripts of arXiv 2412.18027 the loop draws a mask for each parameter tensor, has a loader for full
and one for drop epochs, transforms image by image in worker processes, and asks the device for the
loss and for every hit in each step. Written anew from what is known of them.
"""

import argparse
import random
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from layerdropback.runs.machine import find_device
from layerdropback.training.images.data import ImageData, Split
from layerdropback.training.recipes import recipe_settings

from ..common.timing import quartiles
from . import loops

RATE, LR = 0.5, 0.1
HEAD = ("network", "as the authors, images/s", "ldb train, images/s", "ldb train / authors", "n")


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR-10 gives them: one by one, from arrays, through PIL."""

    def __init__(self, split: Split):
        self._pixels = split.pixels.permute(0, 2, 3, 1).numpy()
        self._labels = split.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(loops.SIZE, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(15),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


class AuthorsLoop:
    """The loop, with what it trains.

    Args:
        args: batch size, device and workers.
        model: the network.
        data: the images.
    """

    def __init__(self, args: argparse.Namespace, model: nn.Module, data: ImageData):
        self._model, self._device = model, find_device(args.device)
        self._optimizer = torch.optim.SGD(
            model.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        assert isinstance(data.train, Split)
        pictures = Pictures(data.train)
        self._loaders = [
            DataLoader(pictures, args.batch_size, shuffle=True, num_workers=args.workers)
            for _ in ("full", "drop")
        ]
        self._draw = random.Random(0)

    def epoch(self, number: int) -> Iterator[None]:
        """One epoch; every second one drops, the first does not."""
        drop = number % 2 == 1
        for group in self._optimizer.param_groups:
            group["lr"] = 2 * LR if drop else LR
        parameters = list(self._model.parameters())
        self._model.train()
        running, hits, seen = 0.0, 0, 0
        for images, targets in self._loaders[drop]:
            images, targets = images.to(self._device), targets.to(self._device)
            for parameter in parameters[:-2]:
                parameter.requires_grad = not drop or self._draw.random() >= RATE
            self._optimizer.zero_grad()
            outputs = self._model(images)
            loss = nn.functional.cross_entropy(outputs, targets)
            loss.backward()
            self._optimizer.step()
            running += loss.item()
            guesses = outputs.argmax(1)
            hits += sum(int(a == b) for a, b in zip(guesses, targets, strict=True))
            seen += len(targets)
            yield
        for parameter in parameters:
            parameter.requires_grad = True


def measured(args: argparse.Namespace, network: str) -> dict[str, list[float]]:
    """Seconds of a full and a drop epoch by both loops, in turns."""
    data = loops.random_data(args.images)
    recipe = {**recipe_settings("paper-scratch"), "lr": LR, "epochs": 1000}
    mine = loops.trainer_of(args, network, data, **{**recipe, "batch_size": args.batch_size})
    other = loops.trainer_of(args, network, data, drop_rate=0.0)
    other.ldb.detach()
    theirs = AuthorsLoop(args, other.model, data)

    def ours(number: int) -> Iterator[object]:
        for epoch in (2 * number, 2 * number + 1):
            yield from mine.steps_of(epoch)

    def authors(number: int) -> Iterator[object]:
        for epoch in (2 * number, 2 * number + 1):
            yield from theirs.epoch(epoch)

    return loops.in_turns(args, {"ours": ours, "authors": authors})


def row(args: argparse.Namespace, network: str, found: dict[str, list[float]]) -> list[str]:
    """One network's."""
    ratios = [other / mine for mine, other in zip(found["ours"], found["authors"], strict=True)]
    speeds = {name: [2 * args.images / s for s in seconds] for name, seconds in found.items()}
    shown = [quartiles(speeds[name], ".0f") for name in ("authors", "ours")]
    return [network, *shown, quartiles(ratios, ".2f"), str(len(ratios))]


def flags(parser: argparse.ArgumentParser) -> None:
    loops.flags(parser, images=1280)
    parser.add_argument("--workers", type=int, default=2, help="of the authors' loaders")


def run(args: argparse.Namespace) -> None:
    """Measure every network, print the card, and write it."""
    about = (
        f"A full and a drop epoch (rate {RATE}, unit tensor) of {args.images:,} random images of "
        f"32 pixels in each round, batches of {args.batch_size}, crop, flip and rotation: medians "
        f"[quartiles] of the rounds. The authors' loaders have {args.workers} workers; the trainer "
        "augments in batches."
    )
    loops.card(
        args, "A loop as in the authors' scripts, and the trainer", about, measured, row, HEAD
    )
