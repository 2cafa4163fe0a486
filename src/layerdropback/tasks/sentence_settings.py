"""What the arms of a comparison on sentences share, looked at before anything heavy is imported."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError, explain
from ..option import is_count, is_number
from ..training.config import DEVICES


@dataclass(frozen=True)
class SentenceSettings:
    """What all arms share.

    Attributes:
        model: a folder of transformers, or a name on the Hub.
        data: see `read_sentences`.
        epochs: of a run.
        lr: peak learning rate.
        batch_size: sentences in a batch.
        longest: tokens of a sentence, at most.
        warmup: share of the steps in which the rate rises; then it falls linearly to 0.
        weight_decay: of AdamW.
        precision: ``"fp32"``, or ``"bf16"`` for autocast.
        limit_train: train on so many sentences, evenly over the labels.
        limit_test: test on so many.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    model: str
    data: str
    epochs: float = 1
    lr: float = 1e-4
    batch_size: int = 32
    longest: int = 128
    warmup: float = 0.1
    weight_decay: float = 0.01
    precision: str = "fp32"
    limit_train: int | None = None
    limit_test: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        checks: dict[str, tuple[Callable[[Any], bool], str]] = {
            "model": (lambda value: isinstance(value, str), "a folder or a name is needed"),
            "data": (lambda value: isinstance(value, str), "a folder or hf:NAME is needed"),
            "epochs": (_is_up_to(10_000), "it is a number above 0, up to 10,000"),
            "lr": (_is_up_to(1e30), "it is a number above 0, up to 1e30"),
            "batch_size": (_is_count(1), "it is a whole number from 1 to 1,000,000"),
            "longest": (_is_count(2), "it is a whole number from 2 to 1,000,000"),
            "warmup": (lambda value: _is_number(value) and 0 <= value < 1, "it is in [0, 1)"),
            "weight_decay": (
                lambda value: _is_number(value) and value >= 0,
                "it is a number from 0 on",
            ),
            "precision": (lambda value: value in ("fp32", "bf16"), "it is fp32 or bf16"),
            "limit_train": (_is_limit, "it is a whole number from 1 on"),
            "limit_test": (_is_limit, "it is a whole number from 1 on"),
            "device": (lambda value: value in DEVICES, f"it is one of {', '.join(DEVICES)}"),
        }
        for name, (is_good, cause) in checks.items():
            value = getattr(self, name)
            if not is_good(value):
                raise UsageError(explain(f"{name}={value!r} is not usable", cause, "give another"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and is_number(value)


def _is_up_to(most: float) -> Callable[[Any], bool]:
    return lambda value: _is_number(value) and 0 < value <= most


def _is_count(least: int) -> Callable[[Any], bool]:
    return lambda value: is_count(value, least) and value <= 1_000_000


def _is_limit(value: object) -> bool:
    return value is None or is_count(value, 1)
