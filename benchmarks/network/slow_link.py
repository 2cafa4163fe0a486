"""Dropping where communication dominates: two workers, a link of 100 Mbit/s between them.

    python -m benchmarks slow-link --data folder:data/cifar10 --out benchmarks/results/NAME

Plain training, LayerDropBack and what else sends less take turns: step times, and time to equal
accuracy with each arm's learning rate tuned on training images held out; from scratch, or with
`--task tune` from weights trained on the other half of the classes. It makes the link itself (see
`link`), and is skipped where it may not. Writes a card.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerdropback.training.images.choosing import stratified
from layerdropback.training.images.data import ImageData, Split, load_data

from ..common.card_files import write
from ..common.facts import facts_of
from ..common.flags import out, plan_of
from .link import DEVICE, Unavailable, joined, run_workers
from .slow_link_arms import TASKS
from .slow_link_card import card_of
from .slow_link_rows import target_of

# Where nothing else is said. Fine-tuning is short, as it mostly is.
DEFAULTS: dict[str, dict[str, int]] = {
    "scratch": {"train": 10000, "epochs": 4},
    "tune": {"train": 4000, "epochs": 3},
}


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, help="folder:DIR of CIFAR-10, or digits for a try")
    out(parser)
    parser.add_argument("--task", choices=TASKS, default="scratch")
    parser.add_argument("--rate", default="100mbit", help="of the link")
    parser.add_argument("--train", type=int, help="training images; 10000, or 4000 to tune")
    parser.add_argument("--held", type=int, default=2500, help="others, to tune on")
    parser.add_argument("--test", type=int, default=5000, help="test images")
    parser.add_argument("--batch", type=int, default=160, help="of both workers together")
    parser.add_argument("--epochs", type=int, help="4, or 3 to tune")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=14, help="of timed steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--tune-seeds", type=int, default=2)
    parser.add_argument("--grid", type=float, nargs="+", default=[0.02, 0.05, 0.125])
    parser.add_argument("--before-epochs", type=int, default=8, help="on the other classes")
    parser.add_argument("--before-lr", type=float, default=0.05, help="there")


Labelled = tuple[Tensor, Tensor]


def images(args: argparse.Namespace) -> dict[str, Labelled]:
    """Pixels, normalised, and labels of each split."""
    data = load_data(args.data, 32)
    train, test = whole(data, data.train), whole(data, data.test)
    found = {}
    if args.task == "tune":
        half = len(data.classes) // 2
        found["before"], train = halves(train, half)
        found["before_test"], test = halves(test, half)
    train = chosen(train, args.train + args.held)
    held = stratified(train[1].tolist(), args.held)
    rest = sorted(set(range(len(train[1]))) - set(held))
    found |= {"train": (train[0][rest], train[1][rest]), "held": (train[0][held], train[1][held])}
    return {**found, "test": chosen(test, args.test)}


def whole(data: ImageData, split: object) -> Labelled:
    """All images of a split."""
    assert isinstance(split, Split)
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in data.statistics())
    return (split.pixels.float() / 255 - mean) / deviation, split.labels.clone()


def chosen(images: Labelled, limit: int) -> Labelled:
    """So many, evenly over the classes."""
    pixels, labels = images
    indices = stratified(labels.tolist(), limit)
    return pixels[indices], labels[indices]


def halves(images: Labelled, first: int) -> tuple[Labelled, Labelled]:
    """The images of so many first classes, and those of the others, counted from 0 again."""
    pixels, labels = images
    lower = labels < first
    return (pixels[lower], labels[lower]), (pixels[~lower], labels[~lower] - first)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Have the workers do it all.

    Raises:
        Unavailable: there is no link to be had.
    """
    with joined(args.rate) as ends, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(images(args), folder / "images.pt")
        (folder / "plan.json").write_text(json.dumps(plan_of(args)))
        worker = ("-m", "benchmarks.network.slow_link_worker")
        run_workers(worker, folder, ends, {"GLOO_SOCKET_IFNAME": DEVICE})
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
        return found


def run(args: argparse.Namespace) -> None:
    """Measure, and write the card; without a link say why not."""
    for name, value in DEFAULTS[args.task].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    facts = facts_of()
    try:
        found = measure(args)
    except Unavailable as reason:
        print(f"skipped: {reason}")
        return
    card = card_of(args, found, facts)
    target = {"target": target_of(found)}
    record = {"command": args.command, **facts, "plan": plan_of(args), **target, **found}
    write(args.out, card, record, main=1)
    print(card)
