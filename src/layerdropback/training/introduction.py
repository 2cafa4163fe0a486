"""What is said of a run before it begins."""

import math

from .config import TrainConfig
from .images.data import ImageData
from .loop import Trainer
from .norms import batch_norms


def introduction(config: TrainConfig, data: ImageData, trainer: Trainer) -> list[str]:
    """Lines on the model, the images, how layers drop, and what was decided for the user."""
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    first = (
        f"{config.model} ({count / 1e6:.1f} M parameters) on {config.data}: "
        f"{len(data.train):,} training and {len(data.test):,} test images, "
        f"{trainer.device}; {_kind(config, trainer)}"
    )
    norms = {"all": "all", "dropped": "those that drop"}.get(config.bn_eval, "")
    if norms:
        count = len(batch_norms(trainer.model))
        norms = f"of {count} BatchNorm layers {norms} are in evaluation mode"
    lines = (first, trainer.network.stem, trainer.network.start, norms, data.remark)
    return [line for line in lines if line]


def _kind(config: TrainConfig, trainer: Trainer) -> str:
    settings = trainer.epochs.settings
    if not settings.ever_drops:
        return "plain"
    kind = trainer.ldb.summary().splitlines()[0]
    schedule = settings.schedule
    periods = math.ceil((schedule.length or 1) / (schedule.steps or 1))
    if not any(map(settings.is_drop_epoch, range(periods))):
        kind += f"; no epoch of this run drops, as it has {config.epochs}"
    return kind
