"""A fixed cut that leaves the stem alone untrained, from scratch on CIFAR-10.

    python -m benchmarks stem --data folder:data/cifar10 --out benchmarks/results/NAME

Records of fast training freeze there. Cuts of 0.05, 0.1 and 0.15 of the backward pass, in every
step, or from a quarter or half of the run on; every arm's learning rate tuned. A run that was
stopped goes on where it was; the card has what is finished.
"""

import argparse
from typing import Any

import torch

from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.errors import UsageError, explain
from layerdropback.training.dropping import Dropping

from .small_runs import Network, Study, add_flags, go, random_images
from .stem_card import card_of

SHARES = (0.05, 0.1, 0.15)
QUARTERS = {0: "every step", 1: "from 1/4 on", 2: "from 1/2 on"}

NETWORKS = {
    "resnet": Network(
        {
            "model": "resnet10t",
            "model_args": ("stem_width=16", "channels=[32, 64, 128, 256]", "zero_init_last=False"),
            "stem": "original",
            "channels_last": True,
            "warmup_epochs": 0.5,
        },
        (0.05, 0.1, 0.2),
        stem=("conv1.", "bn1"),
    ),
    # With patches of 2 pixels timm halves the image once more before the first block.
    "convnext": Network(
        {
            "model": "convnext_atto",
            "model_args": ("dims=[32, 64, 128, 256]", "depths=[2, 2, 2, 2]", "patch_size=2"),
            "optimizer": "adamw",
            "weight_decay": 0.05,
            "warmup_epochs": 0.5,
        },
        (0.001, 0.002, 0.004),
        stem=("stem.", "stages.0.downsample."),
    ),
}


def methods(epochs: int) -> dict[str, Dropping]:
    """Each share, from each start on.

    Raises:
        UsageError: a quarter of the run is no whole number of epochs.
    """
    if epochs % 4 or epochs < 4:
        cause = "cuts begin after a quarter and after half of them, between two epochs"
        raise UsageError(explain(f"--epochs {epochs} is not usable", cause, "give 4, 8, 12, ..."))
    return {
        f"{share:g}, {when}": dropping(share, quarter * epochs // 4)
        for share in SHARES
        for quarter, when in QUARTERS.items()
    }


def dropping(share: float, start: int) -> Dropping:
    """A fixed cut in every step from an epoch on."""
    return Dropping(strategy="truncate", drop_rate=share, depth="fixed", every=1, start=start)


def count(network: Network) -> dict[str, Any]:
    """What each cut leaves out: layers with their chances, learnt from a step on random images."""
    return {f"{share:g}": chances(network, share) for share in SHARES}


def chances(network: Network, share: float) -> dict[str, Any]:
    """Of one cut; the summary is the library's own."""
    model = network.build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    strategy = Truncate(share, depth="fixed")
    ldb = LayerDropBack(model, optimizer, strategy, Schedule(every=1, start=0))
    with ldb.epoch(None, 0):
        for _ in range(2):
            model(random_images()).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    found = {name: chance for name, chance in ldb.stats()["drop_chances"].items() if chance > 0}
    summary = ldb.summary()
    ldb.detach()
    beyond = [name for name in found if not name.startswith(network.stem)]
    return {"chances": found, "beyond": beyond, "summary": summary}


STUDY = Study(NETWORKS, methods, count, card_of)


def flags(parser: argparse.ArgumentParser) -> None:
    names = list(NETWORKS)
    add_flags(parser, "network", names, seeds=6, epochs=8, train=5000, batch=64)


def run(args: argparse.Namespace) -> None:
    """Compare network by network; the card is written after each."""
    go(args, STUDY)
