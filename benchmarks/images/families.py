"""The paper's six families, small and from scratch on CIFAR-10, beside the paper's claims.

    python -m benchmarks families --data folder:data/cifar10 --out benchmarks/results/NAME

Uniform 0.5 as in the authors' scripts, with their batch and with twice as many images in drop
epochs; the no-drop control and plain training of equal time for each; every arm's learning rate
tuned. A run that was stopped goes on where it was; the card has what is finished.
"""

import argparse
from functools import partial
from typing import Any

from layerdropback.lab.profiling.cost import step_costs
from layerdropback.presets import PRESETS
from layerdropback.training.dropping import Dropping, flat

from .families_card import card_of
from .small_runs import Network, Study, add_flags, go, random_images

PRESET = PRESETS["paper-scratch"]

# The optimizer of the authors' scripts, for all families, and their augmentation.
AUTHORS = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-4, "rotate": 15.0}
RATES = (0.025, 0.05, 0.1, 0.2)


def small(model: str, *model_args: str, stem: str = "auto") -> Network:
    """A network with the authors' optimizer."""
    return Network({**AUTHORS, "model": model, "model_args": model_args, "stem": stem}, RATES)


# Sizes with about 10 million multiplications for an image's forward pass, by the library's count;
# but EfficientNet's, whose depthwise convolutions take longer for theirs, keeps its own stem.
NETWORKS = {
    "vit": small("vit_tiny_patch16_224", "patch_size=8", "embed_dim=96", "depth=6", "num_heads=3"),
    "swin": small(
        "swin_tiny_patch4_window7_224",
        "patch_size=4",
        "embed_dim=48",
        "depths=[2, 2, 2]",
        "num_heads=[2, 4, 8]",
    ),
    # EfficientNet-B0's blocks, narrower and fewer: timm gives B0 itself no other width.
    "efficientnet": small("tinynet_e", stem="original"),
    "dla": small("dla34", "channels=[8, 16, 32, 64, 96, 128]", stem="original"),
    "resnet": small(
        "resnet10t", "stem_width=8", "channels=[12, 24, 48, 96]", "zero_init_last=False"
    ),
    "densenet": small("densenet121", "growth_rate=8", "block_config=[2, 2, 2, 2]"),
}


def methods(epochs: int) -> dict[str, Dropping]:
    """The preset, and the same with twice the batch in drop epochs; whatever the epochs are."""
    return {
        "batch x1": Dropping(**flat(PRESET)),
        "batch x2": Dropping(**flat(PRESET)).changed(batch_scale=2),
    }


def count(network: Network) -> dict[str, Any]:
    """FLOPs of a full step and of a drop step, for one image."""
    images = random_images()
    full, drop = step_costs(network.build(), images, strategy=PRESET.strategy)
    names = ("forward", "backward", "weights")
    return {
        mode: {name: getattr(cost, name) / len(images) for name in names}
        for mode, cost in (("full", full), ("drop", drop))
    }


STUDY = Study(NETWORKS, methods, count, partial(card_of, wanted=tuple(NETWORKS)))


def flags(parser: argparse.ArgumentParser) -> None:
    names = list(NETWORKS)
    add_flags(parser, "family", names, seeds=3, epochs=9, train=2500, batch=128)


def run(args: argparse.Namespace) -> None:
    """Compare family by family; the card is written after each."""
    go(args, STUDY)
