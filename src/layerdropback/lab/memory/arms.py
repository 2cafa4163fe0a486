"""The ways to train that ``ldb memory`` puts side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ...errors import UsageError, explain
from ...strategies import Blocks, Strategy, Truncate
from .adapting import adapt
from .optimizers import optimizer_of
from .predict import Prediction, predict_memory
from .subjects import Subject

# By their names; what each of them trains.
ARMS = {
    "full": "everything",
    "truncate": "the upper part: Truncate()",
    "blocks": "a few blocks alone: Blocks(train=())",
    "lisa": "a few blocks, embeddings, the last norm and the head (LISA)",
    "lora": "adapters on the matrices in all blocks (PEFT)",
}

# Types of the weights and of the forward pass's autocast, and whether there are float32 copies.
PRECISIONS = {
    "fp32": (torch.float32, None, False),
    "bf16": (torch.bfloat16, None, False),
    "autocast": (torch.float32, torch.bfloat16, False),
    "master": (torch.bfloat16, None, True),
}


@dataclass(frozen=True)
class Training:
    """How it is trained.

    Attributes:
        precision: one of `PRECISIONS`.
        optimizer: one of `OPTIMIZERS`.
        checkpointing: whether activations are computed again in the backward pass.
        active: blocks that train at a time, for ``blocks`` and ``lisa``.
        rank: of LoRA's adapters.
        share: of the backward pass that ``truncate`` skips.
    """

    precision: str = "fp32"
    optimizer: str = "adamw-fused"
    checkpointing: bool = False
    active: int = 2
    rank: int = 16
    share: float = 0.5


def predict_arm(arm: str, subject: Subject, how: Training, rows: int) -> Prediction:
    """What a step of one of `ARMS` takes, at its worst, with so many samples in a batch.

    Raises:
        UsageError: the model cannot be trained so.
        AttachError: nor with the arm's strategy.
    """
    weights, autocast, master = PRECISIONS[how.precision]

    def make_model() -> nn.Module:
        with _default_type(weights):
            model = subject.make_model()
        if how.checkpointing:
            checkpoint(model)
        return adapt(model, how.rank) if arm == "lora" else model

    def make_batch() -> object:
        with _default_type(weights):
            return subject.make_batch(rows)

    def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return optimizer_of(model, how.optimizer, master)

    given = (make_model, make_optimizer, make_batch, _strategy(arm, how))
    return predict_memory(*given, loss=subject.loss, autocast=autocast)


def _strategy(arm: str, how: Training) -> Strategy | None:
    if arm == "truncate":
        return Truncate(how.share)
    kept: dict[str, tuple[str, ...]] = {"blocks": (), "lisa": ("embedding", "head", "norm")}
    if arm not in kept:
        return None
    # What ``state="offload"`` holds on a GPU: here the CPU stands for it, and all would stay.
    return Blocks(how.active, train=kept[arm], state="release")


@contextmanager
def _default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def checkpoint(model: nn.Module) -> None:
    """Turn gradient checkpointing on.

    Raises:
        UsageError: the model does not have it.
    """
    new = getattr(model, "activation_checkpointing_enable", None)  # transformers' name from 5 on
    hugging = new or getattr(model, "gradient_checkpointing_enable", None)
    try:
        if hugging is not None:
            hugging({"use_reentrant": False})
        else:
            model.set_grad_checkpointing()  # type: ignore[operator]
    except (AttributeError, AssertionError, NotImplementedError, ValueError):
        fact = f"--checkpointing is not possible with {type(model).__name__}"
        cause = "its code has no gradient checkpointing"
        raise UsageError(explain(fact, cause, "leave the flag out")) from None
