"""Whole sets of settings, by name; flags and a settings file go before them."""

from types import MappingProxyType
from typing import Any

from ..errors import UsageError, explain
from ..presets import PRESETS
from .dropping import flat

# The first two are the authors' published scripts (arXiv 2412.18027), as far as those tell; the
# learning rate of fine-tuning and the batch sizes are ours.
_PAPER = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "crop": "pad",
    "flip": True,
    "rotate": 15.0,
}
RECIPES = MappingProxyType(
    {
        "paper-scratch": {
            **_PAPER,
            **flat(PRESETS["paper-scratch"]),
            "epochs": 200,
            "batch_size": 128,
            "lr": 0.1,
            "schedule": "cosine",
        },
        "paper-finetune": {
            **_PAPER,
            **flat(PRESETS["paper-finetune"]),
            "epochs": 30,
            "batch_size": 64,
            "lr": 0.01,
            "schedule": "steps",
            "milestones": (0.3, 0.6, 0.85),
            "gamma": 0.2,
            "image_size": 224,
        },
        "finetune": {
            **flat(PRESETS["finetune"]),
            "epochs": 5,
            "batch_size": 16,
            "crop_pct": 0.8,
            "scale": 0.5,
            "head_init_scale": 0.001,
            "bn_eval": "all",
            "optimizer": "adamw",
            "lr": 5e-4,
            "weight_decay": 0.05,
            "decay_all": False,
            "layer_decay": 0.7,
            "schedule": "cosine",
            "warmup_epochs": 0.5,
            "clip_grad": 1.0,
            "label_smoothing": 0.1,
        },
        "modern": {
            "epochs": 100,
            "batch_size": 128,
            "optimizer": "adamw",
            "lr": 1e-3,
            "weight_decay": 0.05,
            "decay_all": False,
            "schedule": "cosine",
            "warmup_epochs": 5.0,
            "clip_grad": 1.0,
            "label_smoothing": 0.1,
            "ema": 0.999,
        },
    }
)


def recipe_settings(name: str | None) -> dict[str, Any]:
    """The settings of a recipe; none for None.

    Raises:
        UsageError: there is no such recipe.

    Example:
        >>> recipe_settings("paper-scratch")["unit"]
        'tensor'
    """
    if name is None:
        return {}
    if name not in RECIPES:
        fact, cause = f"--recipe {name!r} is unknown", "no such recipe exists"
        raise UsageError(explain(fact, cause, f"give one of {', '.join(RECIPES)}"))
    return dict(RECIPES[name])
