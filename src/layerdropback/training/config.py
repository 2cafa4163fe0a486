"""What one training run is to do, checked before anything heavy is imported."""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from ..presets import settings as preset_settings
from ..schedule import LRScale, Ramp, Schedule
from ..settings import (
    ALLOCATE,
    DEPTHS,
    RAMPS,
    RESAMPLE,
    STRATEGIES,
    UNITS,
    Allocate,
    Depth,
    Resample,
    Settings,
    Strategy,
    Unit,
    settings_problems,
)
from .model_args import parse_model_args

STEMS = ("auto", "small", "original")
DEVICES = ("auto", "cpu", "cuda")
SCHEDULES = ("cosine", "linear", "steps", "constant")
CROPS = ("auto", "pad", "resized", "none")
MEMORY = ("auto", "yes", "no")
PRECISIONS = ("fp32", "bf16", "fp16")
COMPILE = ("no", "blocks")
PARALLEL = ("no", "ddp", "fsdp")

# Starting points, by optimizer; the step of Adam's family does not scale with the gradient. Other
# optimizers want a rate of the user's.
LEARNING_RATES = {"sgd": 0.05, "adamw": 1e-3}

# Bounds that keep numbers inside float32 and int32; nobody needs to come near them.
_HUGE, _MANY = 1e30, 2**31


def _setting(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    """A field with what the command line says of it."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Dropping:
    """LayerDropBack's arguments, as the flags of the same names give them."""

    drop_rate: float = _setting(0.5, "Chance of a layer to drop (truncate: cost to skip).")
    strategy: Strategy = _setting("uniform", "How layers are drawn", STRATEGIES)
    unit: Unit = _setting("layer", "What drops as one", UNITS)
    every: int = _setting(2, "A drop epoch every so many.")
    start: int = _setting(1, "First drop epoch, from 0.")
    lr_scale: LRScale = _setting(2.0, "LR factor in drop epochs, or inverse: 1 / (1 - rate).")
    batch_scale: float = _setting(1, "Batch factor in drop epochs.")
    resample: Resample = _setting("step", "How often a mask is drawn", RESAMPLE)
    depth: Depth = _setting("uniform", "For truncate, how depths are spread", DEPTHS)
    ramp: Ramp = _setting("constant", "How the drop rate changes over the run", RAMPS)
    anneal: float = _setting(0.0, "Last share of the run that drops nothing.")
    period_steps: int | None = _setting(
        None, "Periods of so many steps instead of epochs, for --every and --start."
    )
    masks: int | None = _setting(None, "Draw from a pool of so many masks.")
    target_saving: float | None = _setting(
        None, "Share of a step's FLOPs that a drop step spares; sets the drop rate."
    )
    allocate: Allocate = _setting("even", "How uniform and branch spread the rate", ALLOCATE)
    keep: tuple[str, ...] = _setting((), "Layers never to drop, wildcards allowed; repeatable.")
    verify: bool = _setting(False, "Check every step; slower.")

    @classmethod
    def from_preset(cls, preset: str | None, **given: Any) -> "Dropping":
        """The preset's values (or the defaults), replaced by those that were given."""
        chosen = {key: value for key, value in given.items() if value is not None}
        return cls(**(({} if preset is None else preset_settings(preset)) | chosen))

    def settings(self, length: float | None = None) -> Settings:
        """The same for the core.

        Args:
            length: of the run, see `LayerDropBack`.
        """
        schedule = Schedule(
            self.drop_rate,
            self.every,
            self.start,
            self.lr_scale,
            self.batch_scale,
            self.ramp,
            self.anneal,
            self.period_steps,
            length,
        )
        return Settings(
            schedule,
            self.strategy,
            self.unit,
            self.resample,
            self.keep,
            self.verify,
            self.depth,
            self.masks,
            target_saving=self.target_saving,
            allocate=self.allocate,
        )


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, and where it goes.

    Each field is a flag of ``ldb train`` and a key of a settings file; its text is beside it.
    """

    model: str = _setting("resnet18", "Name of a timm model.")
    pretrained: bool = _setting(False, "Start from timm's pretrained weights.")
    init: Path | None = _setting(
        None, "Start from these weights (safetensors); a classifier of other classes is new."
    )
    model_args: tuple[str, ...] = _setting(
        (), "KEY=VALUE for the model, such as drop_path_rate=0.1; repeatable."
    )
    stem: str = _setting("auto", "auto: small for images up to 64 pixels", STEMS)

    data: str = _setting(
        "digits",
        "digits, cifar10, cifar100, svhn, fashion-mnist, mnist, folder:DIR or hf:NAME.",
    )
    data_dir: Path | None = _setting(
        None, "Where downloaded data sets are.  [default: data; for hf its own cache]"
    )
    download: bool = _setting(False, "Download the data set if it is not there.")
    in_memory: str = _setting("auto", "Hold a folder's or hf's images in memory", MEMORY)
    image_size: int | None = _setting(None, "Side in pixels to which images are resized.")
    limit_train: int | None = _setting(None, "Use so many training images.")
    limit_test: int | None = _setting(None, "Use so many test images.")

    augment: bool = _setting(True, "Any augmentation at all.")
    crop: str = _setting("auto", "Random crops: auto is pad in memory, else resized", CROPS)
    flip: bool | None = _setting(
        None, "Mirror half of the images.  [default: where it is sensible]"
    )
    rotate: float = _setting(0.0, "Rotate by up to so many degrees.")
    randaugment: bool = _setting(False, "RandAugment.")
    erasing: float = _setting(0.0, "Chance of an image to have a part erased.")
    mixup: float = _setting(0.0, "Mixup's alpha, 0: none.")
    cutmix: float = _setting(0.0, "CutMix's alpha, 0: none.")

    epochs: float = _setting(10, "Passes over the data; the last may be a part of one.")
    batch_size: int = _setting(64, "Images per optimizer step, of all workers together.")
    accumulate: int = _setting(1, "Parts of a batch that go through the model one by one.")
    optimizer: str = _setting("sgd", "sgd (Nesterov), adamw, or any of timm's.")
    lr: float = _setting(LEARNING_RATES["sgd"], "Peak learning rate.")
    momentum: float = _setting(0.9, "Of optimizers that have one.")
    weight_decay: float = _setting(5e-4, "Weight decay.")
    decay_all: bool = _setting(True, "Weight decay of biases and normalisation layers, too.")
    clip_grad: float = _setting(0.0, "Clip the gradient's norm to this, 0: not at all.")
    schedule: str = _setting("cosine", "How the learning rate falls", SCHEDULES)
    warmup_epochs: float = _setting(0.0, "Epochs in which the learning rate rises from 0.")
    milestones: tuple[float, ...] = _setting(
        (0.3, 0.6, 0.85), "Where --schedule steps falls, in shares of the run; repeatable."
    )
    gamma: float = _setting(0.2, "Factor of each fall of --schedule steps.")
    label_smoothing: float = _setting(0.0, "Label smoothing.")
    ema: float = _setting(
        0.0, "Decay of an average of the weights, which is tested and exported then, 0: none."
    )
    dropping: Dropping = Dropping()

    precision: str = _setting("fp32", "Autocast; fp16 with loss scaling", PRECISIONS)
    tf32: bool = _setting(False, "TensorFloat-32 for float32 products on a GPU.")
    channels_last: bool = _setting(False, "Memory format of images and weights.")
    compile: str = _setting("no", "torch.compile block by block (with --unit block)", COMPILE)
    parallel: str = _setting("no", "Replicas or shards of the model, with torchrun", PARALLEL)

    seed: int = _setting(0, "Of weights, data and masks.")
    device: str = _setting("auto", "Where to train", DEVICES)
    threads: int | None = _setting(None, "CPU threads.")
    workers: int | None = _setting(
        None, "Processes that read images.  [default: as many as cores, where any are needed]"
    )

    out: Path | None = _setting(None, "The run's folder.  [default: a new one under runs/]")
    overwrite: bool = _setting(False, "Replace the run in --out.")
    resume: bool = _setting(False, "Go on with the run in --out, if there is one.")
    checkpoint_every: int | None = _setting(
        None, "Save the whole state every so many steps, too.  [default: at epoch ends only]"
    )
    checkpoints: int = _setting(2, "Checkpoints to keep.")
    tensorboard: bool = _setting(False, "Write TensorBoard's event files, too.")

    def __post_init__(self) -> None:
        # 10 and 10.0 are one number of epochs, and read as one.
        if isinstance(self.epochs, float) and self.epochs.is_integer():
            object.__setattr__(self, "epochs", int(self.epochs))

    @property
    def epoch_count(self) -> int:
        """Epochs that are begun, the last of which may be shorter.

        Example:
            >>> TrainConfig(epochs=7.4).epoch_count
            8
        """
        return math.ceil(self.epochs)

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense; the text names the flag.

        Example:
            >>> TrainConfig(epochs=0).check()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --epochs 0 is not usable. Cause: \
a number above 0 is needed. Cure: give one.
        """
        self._require(0 < self.epochs < _MANY, "epochs", "a number above 0 is needed")
        for name in ("image_size", "limit_train", "limit_test", "accumulate"):
            good = getattr(self, name) is None or 1 <= getattr(self, name) < _MANY
            self._require(good, name, "a whole number from 1 on is needed")
        for name in ("checkpoint_every", "checkpoints"):
            good = getattr(self, name) is None or 1 <= getattr(self, name) < _MANY
            self._require(good, name, "a whole number from 1 on is needed")
        good = self.threads is None or 1 <= self.threads <= 1024
        self._require(good, "threads", "a whole number from 1 to 1024 is needed")
        good = self.workers is None or 0 <= self.workers <= 1024
        self._require(good, "workers", "a whole number from 0 to 1024 is needed")
        # BatchNorm cannot work on a batch of one image.
        good = 2 <= self.batch_size < _MANY
        self._require(good, "batch_size", "a whole number from 2 on is needed")
        for name in ("lr", "gamma"):
            good = 0 < getattr(self, name) <= _HUGE
            self._require(good, name, "a number above 0 is needed")
        for name in ("momentum", "label_smoothing", "ema"):
            good = 0 <= getattr(self, name) < 1
            self._require(good, name, "a number in [0, 1) is needed")
        for name in ("weight_decay", "mixup", "cutmix", "warmup_epochs", "clip_grad"):
            good = 0 <= getattr(self, name) <= _HUGE
            self._require(good, name, "a number from 0 on is needed")
        self._require(0 <= self.erasing <= 1, "erasing", "a number in [0, 1] is needed")
        self._require(0 <= self.rotate <= 180, "rotate", "a number in [0, 180] is needed")
        good = self.warmup_epochs < self.epochs
        self._require(good, "warmup_epochs", f"the run has {self.epochs} epochs")
        good = all(0 < share < 1 for share in self.milestones)
        self._require(good, "milestones", "shares of the run in (0, 1) are needed")
        for entry in fields(self):
            choices = entry.metadata.get("choices")
            if choices:
                cause = f"it is one of {', '.join(choices)}"
                self._require(getattr(self, entry.name) in choices, entry.name, cause)
        parse_model_args(self.model_args)
        self._check_dropping()
        self._check_pairs()

    def _check_dropping(self) -> None:
        problems = settings_problems(self.dropping.settings(self.epochs), self.seed)
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
        least = min(1, dropping.batch_scale) if dropping.drop_rate > 0 else 1
        if self.accumulate > max(1, round(self.batch_size * least) // 2):
            fact = f"--accumulate {self.accumulate} is not usable"
            cause = "each part of a batch needs two images or more, in drop epochs too"
            raise UsageError(explain(fact, cause, "use fewer parts or a larger batch"))
        if self.compile == "blocks" and dropping.drop_rate > 0 and dropping.unit != "block":
            fact = f"--compile blocks is not usable with --unit {dropping.unit}"
            cause = "torch would compile a graph for each mask inside a block, and soon give up"
            raise UsageError(explain(fact, cause, "use --unit block, or --drop-rate 0"))

    def _check_pairs(self) -> None:
        """Settings that exclude each other, or need each other."""
        if self.pretrained and self.init is not None:
            fact, cause = "--pretrained and --init exclude each other", "both say where to start"
            raise UsageError(explain(fact, cause, "give one of them"))
        if self.resume and self.overwrite:
            fact, cause = "--resume and --overwrite exclude each other", "one keeps what is there"
            raise UsageError(explain(fact, cause, "give one of them"))
        if self.resume and self.out is None:
            cause = "a run is resumed in its folder"
            raise UsageError(explain("--resume needs --out", cause, "name the run's folder"))
        if self.parallel == "fsdp":
            self._check_sharded()
        asked = [
            name
            for name in ("rotate", "randaugment", "erasing", "mixup", "cutmix")
            if getattr(self, name)
        ]
        if not self.augment and asked:
            fact = f"--no-augment and --{asked[0]} exclude each other"
            cause = "the first turns every augmentation off"
            raise UsageError(explain(fact, cause, "give one of them"))

    def _check_sharded(self) -> None:
        refused = [
            (self.ema > 0, "--ema", "each worker would average its own shards", "--parallel ddp"),
            (
                self.precision == "fp16",
                "--precision fp16",
                "each worker would look for overflows in its own shards alone",
                "--precision bf16, or --parallel ddp",
            ),
        ]
        for given, flag, cause, cure in refused:
            if given:
                fact = f"{flag} is not usable with --parallel fsdp"
                raise UsageError(explain(fact, cause, f"use {cure}"))

    def _require(self, good: bool, name: str, cause: str) -> None:
        if not good:
            value = getattr(self, name)
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            fact = f"--{name.replace('_', '-')} {shown} is not usable"
            raise UsageError(explain(fact, cause, "give one"))

    def as_dict(self) -> dict[str, Any]:
        """Every setting under its own name, in plain values, to be written beside the run.

        Example:
            >>> TrainConfig().as_dict()["drop_rate"]
            0.5
        """
        values = asdict(self)
        flat = values | values["dropping"]
        del flat["dropping"]
        return {name: _plain(value) for name, value in flat.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `as_dict`, for values of the right types; what is missing is the default.

        Raises:
            UsageError: no learning rate is given for an optimizer that has no default.

        Example:
            >>> TrainConfig.from_dict({"drop_rate": 0.25, "epochs": 3}).dropping.drop_rate
            0.25
        """
        optimizer = values.get("optimizer", cls.optimizer)
        if "lr" not in values and optimizer not in LEARNING_RATES:
            cause = f"defaults are known for {' and '.join(LEARNING_RATES)} alone"
            raise UsageError(explain(f"--optimizer {optimizer} needs --lr", cause, "give one"))
        values = {"lr": LEARNING_RATES.get(optimizer)} | dict(values)
        names = {entry.name for entry in fields(Dropping)}
        dropping = {name: value for name, value in values.items() if name in names}
        others = {name: value for name, value in values.items() if name not in names}
        return cls(**others, dropping=Dropping(**dropping))


def setting_fields() -> dict[str, Field[Any]]:
    """Every setting by its name, LayerDropBack's among them.

    Example:
        >>> setting_fields()["unit"].default
        'layer'
    """
    own = [
        entry for entry in fields(TrainConfig) if entry.default is not MISSING and entry.metadata
    ]
    before = [entry.name for entry in own].index("precision")
    found = [*own[:before], *fields(Dropping), *own[before:]]
    return {entry.name: entry for entry in found}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def as_flags(problem: str) -> str:
    """Name the flags of the command line where a library error names arguments.

    Example:
        >>> as_flags("drop_rate=2 is not usable. Cure: set lr_scale=1")
        '--drop-rate 2 is not usable. Cure: set --lr-scale 1'
    """

    def flag(match: re.Match[str]) -> str:
        return f"--{match[1].replace('_', '-')} "

    names = (
        "drop_rate|strategy|unit|every|start|lr_scale|batch_scale|resample|depth|ramp|anneal|"
        "period_steps|masks|target_saving|allocate|keep|seed|recipe"
    )
    return re.sub(rf"\b({names})=", flag, problem)
