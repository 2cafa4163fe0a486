"""What `trainer-cost` and `authors-loop` share: networks, images, and rounds in turns."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from layerdropback.lab.tables import markdown_table
from layerdropback.runs.machine import find_device
from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import ImageData, Split
from layerdropback.training.loop import Trainer

from ..common.card_files import page, write
from ..common.facts import facts_of, sentence
from ..common.flags import device, out, set_up_machine, threads
from ..common.timing import rotated

# Small enough that what is done beside the passes shows.
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {
        "model": "resnet10t",
        "model_args": ("stem_width=8", "channels=[12, 24, 48, 96]", "zero_init_last=False"),
    },
    "vit": {
        "model": "vit_tiny_patch16_224",
        "model_args": ("patch_size=8", "embed_dim=96", "depth=6", "num_heads=3"),
    },
    "resnet18": {"model": "resnet18"},
}
SIZE, CLASSES = 32, 10
WARM = 1  # rounds before those that count


def flags(parser: argparse.ArgumentParser, images: int) -> None:
    """Of both."""
    out(parser)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=images, help="in an epoch")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10, help="of all loops in turns")
    device(parser)
    threads(parser)


def card(
    args: argparse.Namespace,
    title: str,
    about: str,
    measured: Callable[[argparse.Namespace, str], dict[str, list[float]]],
    row: Callable[[argparse.Namespace, str, dict[str, list[float]]], list[str]],
    head: Sequence[str],
) -> None:
    """Measure every network, print the card, and write it; a row for each under `head`."""
    facts = facts_of(args.device)
    runs = {network: measured(args, network) for network in args.networks}
    table = markdown_table(head, [row(args, name, found) for name, found in runs.items()])
    text = page(title, args.command, sentence(facts), about, table)
    print(text)
    write(args.out, text, {"command": args.command, "seconds": runs, **facts})


def random_data(count: int) -> ImageData:
    """Images of CIFAR-10's shape, whose content plays no part."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, 3, SIZE, SIZE)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % CLASSES
    names = tuple(map(str, range(CLASSES)))
    split = Split(pixels, labels)
    return ImageData("random", names, split, split.subset(range(CLASSES)), flips=True)


def trainer_of(args: argparse.Namespace, network: str, data: ImageData, **more: Any) -> Trainer:
    """`ldb train`'s, with a network's settings and more."""
    shared = {
        "data": "random",
        "batch_size": args.batch_size,
        "device": args.device,
        "epochs": 1000,
    }
    return Trainer(TrainConfig.from_dict({**shared, **NETWORKS[network], **more}), data)


def seconds_of(device: torch.device, work: Iterable[object]) -> float:
    """Wall clock of an iterator's whole work, the device synchronised."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in work:
        pass
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def in_turns(
    args: argparse.Namespace, loops: Mapping[str, Callable[[int], Iterable[object]]]
) -> dict[str, list[float]]:
    """Seconds of every round of each loop, which is called with the round's number.

    The first rounds do not count: they record, and warm up.
    """
    set_up_machine(args)
    target = find_device(args.device)
    found: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(WARM + args.rounds):
        for name in rotated(list(loops), number):
            seconds = seconds_of(target, loops[name](number))
            if number >= WARM:
                found[name].append(seconds)
    return found
