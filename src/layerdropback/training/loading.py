"""A run's images, read by all of its workers."""

from dataclasses import replace

from .config import TrainConfig
from .images.data import ImageData, load_for
from .workers import Workers


def load_together(config: TrainConfig, workers: Workers) -> ImageData:
    """The images; by the first worker before the others, which do then as it did.

    Args:
        config: of the run.
        workers: that train together.

    Raises:
        UsageError: they cannot be had; all workers get it.
    """
    mine: list[ImageData] = []

    def load() -> str:
        mine.append(load_for(config))
        return "yes" if mine[0].in_memory else "no"

    in_memory = workers.of_first(load)
    if workers.first:
        return mine[0]
    read = config.data.partition(":")[0] in ("folder", "hf")
    return load_for(replace(config, in_memory=in_memory) if read else config)
