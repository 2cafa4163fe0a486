"""What `ldb train`'s trainer adds to a hand-written plain loop on the same network and batches.

    python -m benchmarks trainer-cost --out benchmarks/results/NAME

Both read the same pipeline's batches, with the same augmentation, and make the same steps; the
trainer besides counts loss and hits, times its phases, and looks for what asks it to stop.
"""

import argparse
from collections.abc import Iterator

from torch import nn

from layerdropback.training.loop import Trainer

from ..common.timing import quartiles
from . import loops

HEAD = (
    "network",
    "by hand, images/s",
    "trainer / by hand, time",
    "of the trainer's time waiting for data",
    "n",
)


def by_hand(trainer: Trainer, epoch: int) -> Iterator[None]:
    """A plain loop on another trainer's network, optimizer and batches."""
    criterion = nn.CrossEntropyLoss()
    trainer.model.train()
    trainer.pipeline.set_epoch(epoch, 0)
    for batch in trainer.pipeline.loader:
        images, targets = trainer.pipeline(batch)
        loss = criterion(trainer.model(images), targets)
        loss.backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        yield


def measured(args: argparse.Namespace, network: str) -> dict[str, list[float]]:
    """Seconds of each round by both, and of the trainer's the share that went to data."""
    data = loops.random_data(args.images)
    plain = {"drop_rate": 0.0, "workers": 0}
    mine, other = (loops.trainer_of(args, network, data, **plain) for _ in range(2))
    other.ldb.detach()  # a plain loop has no hooks
    waiting: list[float] = []

    def trained(epoch: int) -> Iterator[object]:
        yield from mine.steps_of(epoch)
        spent = mine.phases.totals()
        waiting.append(spent["data"] / sum(spent.values()))

    found = loops.in_turns(args, {"trainer": trained, "hand": lambda epoch: by_hand(other, epoch)})
    return found | {"waiting": waiting[loops.WARM :]}


def row(args: argparse.Namespace, network: str, found: dict[str, list[float]]) -> list[str]:
    """One network's."""
    ratios = [mine / hand for mine, hand in zip(found["trainer"], found["hand"], strict=True)]
    speeds = [args.images / seconds for seconds in found["hand"]]
    waiting = [100 * share for share in found["waiting"]]
    shown = [quartiles(speeds, ".0f"), quartiles(ratios, ".3f"), quartiles(waiting, ".1f") + " %"]
    return [network, *shown, str(len(ratios))]


def flags(parser: argparse.ArgumentParser) -> None:
    loops.flags(parser, images=2560)


def run(args: argparse.Namespace) -> None:
    """Measure every network, print the card, and write it."""
    about = (
        f"Epochs of {args.images:,} random images of 32 pixels, batches of {args.batch_size}, by "
        "both in turns: medians [quartiles] of the rounds' own ratios."
    )
    loops.card(args, "What the trainer adds to a plain loop", about, measured, row, HEAD)
