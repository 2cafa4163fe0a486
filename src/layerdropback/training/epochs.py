"""A run's epochs: which of them drop, and how many steps each has."""

from ..errors import UsageError, explain
from .config import TrainConfig


class Epochs:
    """What each epoch of a run is like.

    Args:
        config: of the run.
        samples: training images.

    Attributes:
        settings: LayerDropBack's, with the run's length.
        samples: see above.

    Raises:
        UsageError: there would be no batch.

    Example:
        >>> epochs = Epochs(TrainConfig(batch_size=64), samples=640)
        >>> [(epochs.mode(epoch), epochs.steps_in(epoch)) for epoch in range(3)]
        [('full', 10), ('drop', 10), ('full', 10)]
    """

    def __init__(self, config: TrainConfig, samples: int):
        self.settings = config.drop_settings(run_length(config, samples))
        self.samples, self._epochs, self._size = samples, config.epochs, config.batch_size
        scale = self.settings.batch_scale if self.settings.ever_drops else 1
        if self._size * max(1, scale) > samples:
            times = f" times --batch-scale {scale:g}" if scale > 1 else ""
            fact = f"--batch-size {self._size}{times} is more than the {samples} training images"
            raise UsageError(explain(fact, "there would be no batch", "use a smaller one"))

    def drops(self, epoch: int) -> bool:
        """Whether a whole epoch drops; periods of steps are no epochs."""
        return self.settings.schedule.steps is None and self.settings.is_drop_epoch(epoch)

    def large(self, epoch: int) -> bool:
        """Whether an epoch's batches are larger than the others'."""
        return self.drops(epoch) and self.settings.batch_scale > 1

    def mode(self, epoch: int) -> str:
        """For tables: ``"drop"``, ``"full"``, or ``"mixed"`` where periods of steps decide."""
        if self.settings.ever_drops and self.settings.schedule.steps is not None:
            return "mixed"
        return "drop" if self.drops(epoch) else "full"

    def steps_in(self, epoch: int) -> int:
        """Optimizer steps of one epoch."""
        size = self._size
        if self.drops(epoch):
            size = max(1, round(size * self.settings.batch_scale))
        share = min(1.0, self._epochs - epoch)  # of the last one, perhaps
        return max(1, round(self.samples // size * share))


def run_length(config: TrainConfig, samples: int) -> float:
    """What LayerDropBack's schedule takes for the length of a run.

    Args:
        config: of the run.
        samples: images in an epoch.

    Example:
        >>> run_length(TrainConfig(epochs=4), samples=640)
        4
        >>> by_steps = TrainConfig.from_dict({"epochs": 4, "batch_size": 64, "period_steps": 5})
        >>> run_length(by_steps, samples=640)
        40.0
    """
    if config.drop_settings().schedule.steps is None:
        return config.epochs
    return max(1.0, samples // config.batch_size * float(config.epochs))
