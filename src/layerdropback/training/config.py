"""What one training run is to do, checked before anything heavy is imported."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from ..settings import Settings
from .checks import check
from .dropping import FLAGS, Dropping
from .flag import Flag, flagged, of_data, of_machine, of_model, of_optimisation, of_output

STEMS = ("auto", "small", "original")
DEVICES = ("auto", "cpu", "cuda")
SCHEDULES = ("cosine", "linear", "steps", "constant")
CROPS = ("auto", "pad", "resized", "none")
MEMORY = ("auto", "yes", "no")
PRECISIONS = ("fp32", "bf16", "fp16")
BN_EVAL = ("no", "dropped", "all")
COMPILE = ("no", "blocks")
PARALLEL = ("no", "ddp", "fsdp")
# What is done about what cannot be used: the run ends, or it is left out and counted.
POLICIES = ("stop", "skip")

# Where a run goes is no setting of it.
PLACES = ("out", "overwrite", "resume")

# What a run may be resumed with other values of: they do not decide its result.
FREE = frozenset(
    {*PLACES, "data_dir", "download", "device", "threads", "workers", "parallel"}
    | {"checkpoint_every", "checkpoints", "tensorboard"}
    # Until one stops the run, both policies make the same one.
    | {"nonfinite", "unreadable"}
)

# Starting points, by optimizer; the step of Adam's family does not scale with the gradient. Other
# optimizers want a rate of the user's.
LEARNING_RATES = {"sgd": 0.05, "adamw": 1e-3}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, and where it goes.

    Each field is a flag of ``ldb train`` and a key of a settings file; its text is beside it.
    """

    model: str = of_model("resnet18", "Name of a timm model.")
    pretrained: bool = of_model(False, "Start from timm's pretrained weights.")
    init: Path | None = of_model(
        None, "Start from these weights (safetensors); a classifier of other classes is new."
    )
    head_init_scale: float = of_model(
        1.0, "Factor of the weights that a new classifier begins with."
    )
    model_args: tuple[str, ...] = of_model(
        (), "KEY=VALUE for the model, such as drop_path_rate=0.1; repeatable."
    )
    stem: str = of_model("auto", "auto: small for images up to 64 pixels", STEMS)

    data: str = of_data(
        "digits",
        "digits, digits:0123 (these alone), cifar10, cifar100, svhn, fashion-mnist, mnist, "
        "folder:DIR or hf:NAME.",
    )
    data_dir: Path | None = of_data(
        None, "Where downloaded data sets are.  [default: data; for hf its own cache]"
    )
    download: bool = of_data(False, "Download the data set if it is not there.")
    in_memory: str = of_data("auto", "Hold a folder's or hf's images in memory", MEMORY)
    image_size: int | None = of_data(None, "Side in pixels to which images are resized.")
    crop_pct: float | None = of_data(
        None, "Share of its side that a test image keeps.  [default: the weights' own, or 0.875]"
    )
    unreadable: str = of_data("stop", "What to do about images that cannot be read", POLICIES)
    limit_train: int | None = of_data(None, "Use so many training images.")
    limit_test: int | None = of_data(None, "Use so many test images.")

    augment: bool = of_data(True, "Any augmentation at all.")
    crop: str = of_data("auto", "Random crops: auto is pad in memory, else resized", CROPS)
    scale: float = of_data(0.08, "Least share of an image's area in a crop of --crop resized.")
    flip: bool | None = of_data(None, "Mirror half of the images.  [default: where it is sensible]")
    rotate: float = of_data(0.0, "Rotate by up to so many degrees.")
    randaugment: bool = of_data(False, "RandAugment.")
    erasing: float = of_data(0.0, "Chance of an image to have a part erased.")
    mixup: float = of_data(0.0, "Mixup's alpha, 0: none.")
    cutmix: float = of_data(0.0, "CutMix's alpha, 0: none.")

    epochs: float = of_optimisation(10, "Passes over the data; the last may be a part of one.")
    batch_size: int = of_optimisation(64, "Images per optimizer step, of all workers together.")
    accumulate: int = of_optimisation(1, "Parts of a batch that go through the model one by one.")
    optimizer: str = of_optimisation("sgd", "sgd (Nesterov), adamw, or any of timm's.")
    lr: float = of_optimisation(LEARNING_RATES["sgd"], "Peak learning rate.")
    momentum: float = of_optimisation(0.9, "Of optimizers that have one.")
    weight_decay: float = of_optimisation(5e-4, "Weight decay.")
    decay_all: bool = of_optimisation(True, "Weight decay of biases and normalisation layers, too.")
    layer_decay: float = of_optimisation(
        1.0, "Learning rate of each group of layers, as a factor of the next one's to the head."
    )
    bn_eval: str = of_optimisation("no", "BatchNorm layers that train in evaluation mode", BN_EVAL)
    nonfinite: str = of_optimisation(
        "stop", "What to do about steps whose loss or gradients are not finite", POLICIES
    )
    clip_grad: float = of_optimisation(0.0, "Clip the gradient's norm to this, 0: not at all.")
    schedule: str = of_optimisation("cosine", "How the learning rate falls", SCHEDULES)
    warmup_epochs: float = of_optimisation(0.0, "Epochs in which the learning rate rises from 0.")
    milestones: tuple[float, ...] = of_optimisation(
        (0.3, 0.6, 0.85), "Where --schedule steps falls, in shares of the run; repeatable."
    )
    gamma: float = of_optimisation(0.2, "Factor of each fall of --schedule steps.")
    label_smoothing: float = of_optimisation(0.0, "Label smoothing.")
    ema: float = of_optimisation(
        0.0, "Decay of an average of the weights, which is tested and exported then, 0: none."
    )
    dropping: Dropping = field(default_factory=Dropping)

    precision: str = of_machine("fp32", "Autocast; fp16 with loss scaling", PRECISIONS)
    tf32: bool = of_machine(False, "TensorFloat-32 for float32 products on a GPU.")
    channels_last: bool = of_machine(False, "Memory format of images and weights.")
    compile: str = of_machine("no", "torch.compile block by block (with --unit block)", COMPILE)
    parallel: str = of_machine("no", "Replicas or shards of the model, with torchrun", PARALLEL)

    seed: int = of_optimisation(0, "Of weights, data and masks.")
    device: str = of_machine("auto", "Where to train", DEVICES)
    threads: int | None = of_machine(None, "CPU threads.")
    workers: int | None = of_machine(
        None, "Processes that read images.  [default: as many as cores, where any are needed]"
    )

    out: Path | None = of_output(None, "The run's folder.  [default: a new one under runs/]")
    overwrite: bool = of_output(False, "Replace the run in --out.")
    resume: bool = of_output(False, "Go on with the run in --out, if there is one.")
    checkpoint_every: int | None = of_output(
        None, "Save the whole state every so many steps, too.  [default: at epoch ends only]"
    )
    checkpoints: int = of_output(2, "Checkpoints to keep.")
    tensorboard: bool = of_output(False, "Write TensorBoard's event files, too.")

    def __post_init__(self) -> None:
        # 10 and 10.0 are one number of epochs, and read as one.
        if isinstance(self.epochs, float) and self.epochs.is_integer() and self.epochs < 2**53:
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
        check(self)

    def drop_settings(self, length: float | None = None) -> Settings:
        """LayerDropBack's settings.

        Args:
            length: of the run, see `Schedule`; the epochs by default.

        Raises:
            UsageError: see `Dropping.settings`.

        Example:
            >>> TrainConfig(epochs=4).drop_settings().schedule.length
            4
        """
        return self.dropping.settings(self.epochs if length is None else length, self.seed)

    def given(self) -> dict[str, Any]:
        """Every setting under its own name, with its own type; LayerDropBack's as far as given.

        Example:
            >>> "drop_rate" in TrainConfig().given()
            False
        """
        own = {name: value for name, value in vars(self).items() if name != "dropping"}
        return own | dict(self.dropping.given)

    def as_dict(self) -> dict[str, Any]:
        """Every setting under its own name, in plain values, to be written beside the run.

        Example:
            >>> TrainConfig().as_dict()["drop_rate"]
            0.5
        """
        values = self.given() | self.dropping.values()
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `as_dict`, for values of the right types; what is missing is the default.

        Raises:
            UsageError: no learning rate is given for an optimizer that has no default.

        Example:
            >>> TrainConfig.from_dict({"drop_rate": 0.25, "epochs": 3}).dropping
            Dropping(drop_rate=0.25)
        """
        optimizer = values.get("optimizer", cls.optimizer)
        if "lr" not in values and optimizer not in LEARNING_RATES:
            cause = f"defaults are known for {' and '.join(LEARNING_RATES)} alone"
            raise UsageError(explain(f"--optimizer {optimizer} needs --lr", cause, "give one"))
        values = {"lr": LEARNING_RATES.get(optimizer)} | dict(values)
        dropping = {name: value for name, value in values.items() if name in FLAGS}
        others = {name: value for name, value in values.items() if name not in FLAGS}
        return cls(**others, dropping=Dropping(**dropping))


def all_flags() -> dict[str, Flag]:
    """Every setting by its name, LayerDropBack's among them.

    Example:
        >>> all_flags()["unit"].default
        'layer; blocks block'
    """
    own = {name: Flag.of(entry, hint) for name, entry, hint in flagged(TrainConfig)}
    names = list(own)
    before = names.index("precision")
    found = {name: own[name] for name in names[:before]} | dict(FLAGS)
    return found | {name: own[name] for name in names[before:]}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
