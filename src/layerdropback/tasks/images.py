"""Classifying images, as ``ldb train`` does, as a task of the lab."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from rich.console import Console

from ..errors import UsageError, explain
from ..lab.arms import Arm
from ..lab.comparison import carry_out
from ..lab.plan import Place, Plan
from ..lab.record import Record
from ..lab.task import Run, Steps, Task, dropped
from ..runs.machine import find_device
from ..training.config import PLACES, TrainConfig
from ..training.images.choosing import proportional
from ..training.images.data import ImageData, LazySplit, Split, divided, load_for
from ..training.loop import Trainer
from ..training.models import small_stem
from ..training.run_folder import identity, resolved

# Share of the training images that is held out.
HELD_OUT = 0.1

# Of training images that are not used, so many are held out at most.
MOST = 5000

# Where a run is and which one: no setting of an arm.
_PLACES = (*PLACES, "seed")


def compare_images(
    config: TrainConfig, arms: Sequence[Arm], plan: Plan, console: Console | None = None
) -> Record:
    """``ldb compare`` and ``ldb sweep``.

    Args:
        config: what all arms share; ``out``, ``overwrite`` and ``resume`` say where.
        arms: plain training first; see `make_arms`.
        plan: how to compare.
        console: where to say what happens; standard output by default.

    Raises:
        UsageError: the settings cannot be followed, or another comparison is in the folder.
        Stopped: SIGTERM or Ctrl-C came; what is done is saved.
    """
    # What can be told at once is told before the images are read.
    plan.check()
    for arm in arms:
        arm.way.check()
        small_stem(arm.way.model)
    find_device(config.device)
    place = Place(config.out, config.overwrite, config.resume)
    place.folder()
    task = ImageTask.load(config)
    if plan.kind == "sweep":
        task = task.held_out(share=0.5)  # the rest is for learning rates
    return carry_out(task, arms, plan, place, console)


class ImageRun(Run):
    """A run as ``ldb train`` would make it alone.

    Args:
        trainer: does the work.
    """

    mid_epoch = True

    def __init__(self, trainer: Trainer):
        self.trainer, self.model, self.ldb = trainer, trainer.model, trainer.ldb
        self.optimizer = trainer.optimizer

    def steps_in(self, epoch: int) -> int:
        """See `Run`."""
        return self.trainer.epochs.steps_in(epoch)

    def train(self, epoch: int, done: int = 0) -> Steps:
        """See `Run`."""
        if not done:
            self.trainer.begin_anew()
        with closing(self.trainer.steps_of(epoch)) as steps:
            for totals, images in steps:
                yield totals[0] / images

    def test(self) -> Mapping[str, Any]:
        """The trainer's metrics."""
        return self.trainer.finish_epoch().as_dict()

    def state_dict(self) -> dict[str, Any]:
        """See `Run`."""
        return self.trainer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Run`."""
        self.trainer.load_state_dict(state)

    def close(self) -> None:
        """End the loader's processes."""
        self.trainer.pipeline.close()


class ImageTask(Task):
    """Image classification; a way is a `TrainConfig`.

    Args:
        config: what all arms share, and where a comparison goes.
        data: the images.
        spare: training images that are not used; rates are tuned on them where they are enough.

    Attributes:
        config: with what was left to the data decided.
        data: the images.
    """

    unit = "images"

    def __init__(
        self, config: TrainConfig, data: ImageData, spare: Split | LazySplit | None = None
    ):
        self.config, self.data, self._spare = resolved(config, data), data, spare
        self.name, self.train, self.test = data.name, len(data.train), len(data.test)
        self.epochs, self.lr = config.epochs, config.lr
        self.device = find_device(config.device)

    @classmethod
    def load(cls, config: TrainConfig) -> "ImageTask":
        """Read the images that some settings name.

        Raises:
            UsageError: there are none, or they cannot be read.
        """
        whole = load_for(replace(config, limit_train=None))
        return cls(config, *divided(whole, config.limit_train))

    def start(self, way: TrainConfig, seed: int, epochs: float, lr: float | None) -> ImageRun:
        """See `Task`."""
        return ImageRun(self.trainer(replace(self._config(way, epochs, lr), seed=seed)))

    def trainer(self, config: TrainConfig) -> Trainer:
        """A run's trainer."""
        return Trainer(config, self.data)

    def held_out(self, share: float = 1.0) -> "ImageTask":
        """The same with training images in the test's place, of each class its share.

        They are a tenth of those that there are; or where there are spare ones, that are not
        trained on, of these up to five thousand: that costs no training image, and shows more.

        Args:
            share: of the spare ones, how many may be taken.

        Raises:
            UsageError: there are too few.

        Example:
            >>> few = ImageTask.load(TrainConfig(limit_train=200)).held_out(share=0.5)
            >>> few.train, few.test
            (200, 618)
        """
        data, spare = hold_out(self.data, self._spare, share)
        return type(self)(self.config, data, spare)

    def settings(self, way: TrainConfig, epochs: float, lr: float | None) -> dict[str, Any]:
        """See `Task`."""
        values = self._config(way, epochs, lr).as_dict()
        return {name: value for name, value in values.items() if name not in _PLACES}

    def says(self, way: TrainConfig) -> str:
        """See `Task`."""
        settings = way.drop_settings()
        return dropped(settings.strategy, settings.schedule)

    def identity(self) -> dict[str, Any]:
        """See `Task`."""
        return identity(self.config, self.data)

    def facts(self) -> dict[str, Any]:
        """See `Task`."""
        return super().facts() | {"size": self.data.size, "classes": len(self.data.classes)}

    def _config(self, way: TrainConfig, epochs: float, lr: float | None) -> TrainConfig:
        """The settings of a run; what was left to the data is decided once, for all of them."""
        decided = {
            name: getattr(self.config, name)
            for name in ("in_memory", "crop", "flip")
            if getattr(way, name) in ("auto", None) and (name == "in_memory" or way.augment)
        }
        short = epochs < way.epochs  # a warm-up must not take all of it
        warmup = min(way.warmup_epochs, 0.5 * epochs) if short else way.warmup_epochs
        rate = way.lr if lr is None else lr
        return replace(way, epochs=epochs, lr=rate, warmup_epochs=warmup, **decided)


def hold_out(
    data: ImageData, spare: Split | LazySplit | None = None, share: float = 1.0
) -> tuple[ImageData, Split | LazySplit | None]:
    """Put training images, of each class its share, in the test's place.

    They are a tenth of those that there are; or where `spare` has as many, that are not trained on,
    of these up to five thousand: that costs no training image, and tells more.

    Args:
        data: the images.
        spare: training images that are not used.
        share: of the spare ones, how many may be taken.

    Returns:
        The data with other test images, and what is left of the spare ones.

    Raises:
        UsageError: there are too few.

    Example:
        >>> from layerdropback.training.images.data import divided, load_data
        >>> data, _ = hold_out(load_data("digits", limit_train=200))
        >>> len(data.train), len(data.test)
        (180, 20)
        >>> data, left = hold_out(*divided(load_data("digits"), 200), share=0.5)
        >>> len(data.train), len(data.test), len(left)
        (200, 618, 619)
    """
    images = len(data.train)
    count = 0 if spare is None else min(MOST, int(share * len(spare)))
    if spare is not None and count >= max(1, HELD_OUT * images):
        chosen = proportional(spare.labels.tolist(), count)
        left = sorted(set(range(len(spare))) - set(chosen))
        return replace(data, test=spare.subset(chosen)), spare.subset(left)
    chosen = proportional(data.train.labels.tolist(), round(HELD_OUT * images))
    if not chosen:
        fact = f"of {images} training images none can be held out"
        cause = "learning rates and settings are not chosen on the test's"
        raise UsageError(explain(fact, cause, "use more, 20 for each class or so"))
    others = sorted(set(range(images)) - set(chosen))
    held = replace(data, train=data.train.subset(others), test=data.train.subset(chosen))
    return held, spare
