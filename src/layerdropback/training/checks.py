"""Whether a training run's settings make sense, one by one and together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from ..errors import UsageError, explain
from .model_args import parse_model_args

if TYPE_CHECKING:
    from .config import TrainConfig

# Bounds that keep numbers inside float32 and int32; nobody needs to come near them.
_HUGE, _MANY = 1e30, 2**31

# What each number has to be, in words; None, where a setting may have it, is always good.
_COUNT = "a whole number from 1 on is needed"
_POSITIVE = "a number above 0 is needed"
_SHARE = "a number in [0, 1) is needed"
_NOT_NEGATIVE = "a number from 0 on is needed"


def check(config: TrainConfig) -> None:
    """Look at every value.

    Raises:
        UsageError: one makes no sense; the text names the flag.
    """
    for name, good, cause in [*_numbers(config), *_words(config)]:
        if not good:
            value = getattr(config, name)
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            fact = f"--{name.replace('_', '-')} {shown} is not usable"
            raise UsageError(explain(fact, cause, "give one"))
    parse_model_args(config.model_args)
    for problem in (*_dropping(config), *_pairs(config), *_sharded(config)):
        raise UsageError(problem)


def _numbers(config: TrainConfig) -> Iterator[tuple[str, bool, str]]:
    """Settings' names, whether each is good, and what is needed."""

    def within(names: str, low: float, high: float, cause: str) -> Iterator[tuple[str, bool, str]]:
        for name in names.split():
            value = getattr(config, name)
            high_up = high >= _MANY - 1 and value is not None and value > high
            most = f"{high:,}" if isinstance(high, int) else f"{high:g}"
            told = f"a number up to {most} is needed" if high_up else cause
            yield name, value is None or low <= value <= high, told

    tiny = 5e-324  # the least number above 0
    yield from within("epochs", tiny, _MANY, _POSITIVE)
    counts = "image_size limit_train limit_test accumulate checkpoint_every checkpoints"
    yield from within(counts, 1, _MANY - 1, _COUNT)
    yield from within("threads", 1, 1024, "a whole number from 1 to 1024 is needed")
    yield from within("workers", 0, 1024, "a whole number from 0 to 1024 is needed")
    # BatchNorm cannot work on a batch of one image.
    yield from within("batch_size", 2, _MANY - 1, "a whole number from 2 on is needed")
    yield from within("lr gamma", tiny, _HUGE, _POSITIVE)
    below_one = 1 - 2**-53  # the largest number below 1
    yield from within("momentum label_smoothing ema", 0, below_one, _SHARE)
    some = "weight_decay head_init_scale mixup cutmix warmup_epochs clip_grad"
    yield from within(some, 0, _HUGE, _NOT_NEGATIVE)
    yield from within("erasing", 0, 1, "a number in [0, 1] is needed")
    yield from within("scale layer_decay crop_pct", tiny, 1, "a number in (0, 1] is needed")
    yield from within("rotate", 0, 180, "a number in [0, 180] is needed")
    good = config.warmup_epochs < config.epochs
    yield "warmup_epochs", good, f"the run has {config.epochs} epochs"
    good = all(0 < share < 1 for share in config.milestones)
    yield "milestones", good, "shares of the run in (0, 1) are needed"


def _words(config: TrainConfig) -> Iterator[tuple[str, bool, str]]:
    for entry in fields(config):
        choices = entry.metadata.get("choices")
        if choices:
            good = getattr(config, entry.name) in choices
            yield entry.name, good, f"it is one of {', '.join(choices)}"


def _dropping(config: TrainConfig) -> Iterator[str]:
    """What is wrong with LayerDropBack's settings, alone and beside the others."""
    settings = config.drop_settings()
    batch_scale = settings.batch_scale if settings.ever_drops else 1
    if settings.lr_scale != "inverse" and settings.lr_scale > 1e6:
        fact = f"--lr-scale {settings.lr_scale} is not usable"
        yield explain(fact, "a number up to a million is needed", "give one")
    if not 2 <= config.batch_size * batch_scale < _MANY:
        fact = f"--batch-scale {batch_scale:g} is not usable"
        large = config.batch_size * batch_scale >= 2
        many = "too many images" if large else "less than two images"
        cause = f"with --batch-size {config.batch_size} a drop epoch's batch would have {many}"
        yield explain(fact, cause, f"give a {'smaller' if large else 'larger'} one")
    if config.accumulate > max(1, round(config.batch_size * min(1, batch_scale)) // 2):
        fact = f"--accumulate {config.accumulate} is not usable"
        cause = "each part of a batch needs two images or more, in drop epochs too"
        yield explain(fact, cause, "use fewer parts or a larger batch")
    if config.compile == "blocks" and settings.ever_drops and settings.strategy.unit != "block":
        fact = f"--compile blocks is not usable with --unit {settings.strategy.unit}"
        cause = "torch would compile a graph for each mask inside a block, and soon give up"
        yield explain(fact, cause, "use --unit block, or --drop-rate 0")


def _pairs(config: TrainConfig) -> Iterator[str]:
    """Settings that exclude each other, or need each other."""
    if config.pretrained and config.init is not None:
        fact, cause = "--pretrained and --init exclude each other", "both say where to start"
        yield explain(fact, cause, "give one of them")
    if config.bn_eval == "all" and not config.pretrained and config.init is None:
        fact = "--bn-eval all needs weights to start from"
        cause = "BatchNorm layers of a new network know no mean and variance yet"
        yield explain(fact, cause, "give --pretrained, --init FILE or --bn-eval no")
    if config.resume and config.overwrite:
        fact, cause = "--resume and --overwrite exclude each other", "one keeps what is there"
        yield explain(fact, cause, "give one of them")
    if config.resume and config.out is None:
        cause = "a run is resumed in its folder"
        yield explain("--resume needs --out", cause, "name the run's folder")
    names = ("rotate", "randaugment", "erasing", "mixup", "cutmix")
    asked = [name for name in names if getattr(config, name)]
    if not config.augment and asked:
        fact = f"--no-augment and --{asked[0]} exclude each other"
        yield explain(fact, "the first turns every augmentation off", "give one of them")


def _sharded(config: TrainConfig) -> Iterator[str]:
    """What cannot be had with shards of a model."""
    if config.parallel != "fsdp":
        return
    if config.ema > 0:
        cause = "each worker would average its own shards"
        yield explain("--ema is not usable with --parallel fsdp", cause, "use --parallel ddp")
    if config.precision == "fp16":
        fact = "--precision fp16 is not usable with --parallel fsdp"
        cause = "each worker would look for overflows in its own shards alone"
        yield explain(fact, cause, "use --precision bf16, or --parallel ddp")
