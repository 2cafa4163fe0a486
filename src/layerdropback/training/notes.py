"""What is kept with a run's weights."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .config import TrainConfig
from .images.data import ImageData
from .loop import Trainer
from .metrics import EpochMetrics


def notes_of(
    config: TrainConfig, data: ImageData, trainer: Trainer, history: Sequence[EpochMetrics]
) -> dict[str, Any]:
    """What a reader of the weights needs to use them, and to test them as the run did."""
    names = ("data", "data_dir", "in_memory", "image_size", "limit_test")
    whole = trainer.steps_done == 0 and history  # else nobody has tested these weights
    return {
        "classes": list(data.classes),
        **asdict(trainer.network.inputs),
        "data": {name: config.as_dict()[name] for name in names},
        "epochs": len(history),
        "steps": trainer.steps,
        "test_accuracy": history[-1].test_accuracy if whole else None,
    }
