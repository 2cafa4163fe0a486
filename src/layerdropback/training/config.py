"""What one training run is to do, checked before anything heavy is imported."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from ..presets import settings as preset_settings
from ..schedule import LRScale, Schedule
from ..settings import Resample, Settings, Strategy, Unit, settings_problems

OPTIMIZERS = ("sgd", "adamw")
STEMS = ("auto", "small", "original")
DEVICES = ("auto", "cpu", "cuda")

# Starting points, by optimizer; AdamW's steps do not scale with the gradient.
LEARNING_RATES = {"sgd": 0.05, "adamw": 1e-3}

# Bounds that keep numbers inside float32 and int32; nobody needs to come near them.
_HUGE, _MANY = 1e30, 2**31


@dataclass(frozen=True)
class Dropping:
    """LayerDropBack's arguments, as the flags of the same names give them."""

    drop_rate: float = 0.5
    strategy: Strategy = "uniform"
    unit: Unit = "layer"
    every: int = 2
    start: int = 1
    lr_scale: LRScale = 2.0
    batch_scale: float = 1
    resample: Resample = "step"
    keep: tuple[str, ...] = ()
    verify: bool = False

    @classmethod
    def from_preset(cls, preset: str | None, **given: Any) -> "Dropping":
        """The preset's values (or the defaults), replaced by those flags that were given."""
        chosen = {key: value for key, value in given.items() if value is not None}
        return cls(**(({} if preset is None else preset_settings(preset)) | chosen))

    def settings(self) -> Settings:
        """The same for the core."""
        schedule = Schedule(self.drop_rate, self.every, self.start, self.lr_scale, self.batch_scale)
        return Settings(schedule, self.strategy, self.unit, self.resample, self.keep, self.verify)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, and where it goes.

    Attributes:
        model: a timm model's name.
        data: ``"digits"`` or ``"folder:DIR"``.
        epochs: passes over the training images.
        batch_size: images per step in a full epoch.
        lr: peak learning rate, decayed to 0 by a cosine over the epochs.
        optimizer: ``"sgd"`` (Nesterov) or ``"adamw"``.
        momentum: SGD's.
        weight_decay: of every parameter.
        dropping: see `Dropping`.
        seed: of weights, order of images, augmentation and masks.
        augment: crop (and flip, where mirrored images keep their class).
        image_size: side in pixels to which folder images are resized; None where all have one size.
        stem: ``"auto"`` gives small images a small stem, where the family is in the table.
        limit_train: use only this many training images, the same share of each class.
        limit_test: the same for the test images.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        threads: CPU threads; None leaves it to torch.
        out: the run's folder; None makes a new one under ``runs/``.
        overwrite: replace what is in `out`.
    """

    model: str = "resnet18"
    data: str = "digits"
    epochs: int = 10
    batch_size: int = 64
    lr: float = LEARNING_RATES["sgd"]
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropping: Dropping = Dropping()
    seed: int = 0
    augment: bool = True
    image_size: int | None = None
    stem: str = "auto"
    limit_train: int | None = None
    limit_test: int | None = None
    device: str = "auto"
    threads: int | None = None
    out: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense; the text names the flag.

        Example:
            >>> TrainConfig(epochs=0).check()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --epochs 0 is not usable. Cause: \
a whole number from 1 on is needed. Cure: give one.
        """
        for name in ("epochs", "image_size", "limit_train", "limit_test"):
            good = getattr(self, name) is None or 1 <= getattr(self, name) < _MANY
            self._require(good, name, "a whole number from 1 on is needed")
        good = self.threads is None or 1 <= self.threads <= 1024
        self._require(good, "threads", "a whole number from 1 to 1024 is needed")
        # BatchNorm cannot work on a batch of one image.
        good = 2 <= self.batch_size < _MANY
        self._require(good, "batch_size", "a whole number from 2 on is needed")
        self._require(0 < self.lr <= _HUGE, "lr", "a number above 0 is needed")
        self._require(0 <= self.momentum < 1, "momentum", "a number in [0, 1) is needed")
        good = 0 <= self.weight_decay <= _HUGE
        self._require(good, "weight_decay", "a number from 0 on is needed")
        for name, choices in (("optimizer", OPTIMIZERS), ("stem", STEMS), ("device", DEVICES)):
            cause = f"it is one of {', '.join(choices)}"
            self._require(getattr(self, name) in choices, name, cause)
        problems = settings_problems(self.dropping.settings(), self.seed)
        if problems:
            raise UsageError(as_flags(problems[0]))
        dropping = self.dropping
        if dropping.lr_scale != "inverse" and dropping.lr_scale > 1e6:
            fact = f"--lr-scale {dropping.lr_scale} is not usable"
            raise UsageError(explain(fact, "a number up to a million is needed", "give one"))
        if dropping.drop_rate > 0 and not 2 <= self.batch_size * dropping.batch_scale < _MANY:
            fact = f"--batch-scale {dropping.batch_scale:g} is not usable"
            cause = f"with --batch-size {self.batch_size} a drop epoch's batch would be no batch"
            raise UsageError(explain(fact, cause, "give one that leaves two images or more"))

    def _require(self, good: bool, name: str, cause: str) -> None:
        if not good:
            fact = f"--{name.replace('_', '-')} {getattr(self, name)} is not usable"
            raise UsageError(explain(fact, cause, "give one"))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, to be written beside the run."""
        values = asdict(self)
        return values | {"out": None if self.out is None else str(self.out)}


def as_flags(problem: str) -> str:
    """Name the flags of the command line where a library error names arguments.

    Example:
        >>> as_flags("drop_rate=2 is not usable. Cure: set lr_scale=1")
        '--drop-rate 2 is not usable. Cure: set --lr-scale 1'
    """

    def flag(match: re.Match[str]) -> str:
        return f"--{match[1].replace('_', '-')} "

    names = "drop_rate|strategy|unit|every|start|lr_scale|batch_scale|resample|keep|seed|preset"
    return re.sub(rf"\b({names})=", flag, problem)
