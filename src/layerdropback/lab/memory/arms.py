"""The ways to train that ``ldb memory`` puts side by side."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ...errors import UsageError, explain
from ...strategies import Strategy, Truncate
from .fakes import on_meta
from .freezing import Which, adapt, blocks_of, train_blocks
from .optimizers import optimizer_of
from .predict import Prediction, predict_memory
from .subjects import Subject

# By their names; what each of them trains.
ARMS = {
    "full": "everything",
    "truncate": "the upper part in every step but the first: Truncate()",
    "blocks": "a few blocks alone",
    "lisa": "a few blocks, and all that is no block: embeddings, norms, head (LISA)",
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
    """What a step of one arm takes, at its worst.

    Args:
        arm: one of `ARMS`.
        subject: what is trained.
        how: it is trained.
        rows: samples of a batch.

    Raises:
        UsageError: the model cannot be trained so.
        AttachError: nor with the arm's strategy.
    """
    weights, autocast, master = PRECISIONS[how.precision]
    found = []
    for change, strategy in _variants(arm, subject, how):

        def make_model(change: _Change = change) -> nn.Module:
            with _default_type(weights):
                model = subject.make_model()
            if how.checkpointing:
                checkpoint(model)
            return change(model)

        def make_batch() -> object:
            with _default_type(weights):
                return subject.make_batch(rows)

        def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
            return optimizer_of(model, how.optimizer, master)

        given = (make_model, make_optimizer, make_batch, strategy)
        found.append(predict_memory(*given, loss=subject.loss, autocast=autocast))
    return max(found, key=lambda one: one.peak)


_Change = Callable[[nn.Module], nn.Module]


def _variants(
    arm: str, subject: Subject, how: Training
) -> Iterator[tuple[_Change, Strategy | None]]:
    """How the model is changed, and the strategy; the worst of several counts."""
    if arm == "truncate":
        yield _as_it_is, Truncate(how.share)
    elif arm in ("blocks", "lisa"):
        yield from _taking_turns(subject, how.active, rest=arm == "lisa")
    elif arm == "lora":
        yield lambda model: adapt(model, how.rank), None
    else:
        yield _as_it_is, None


def _taking_turns(
    subject: Subject, active: int, rest: bool
) -> Iterator[tuple[_Change, Strategy | None]]:
    """What is to be swapped for the strategy `Blocks` once there is one: what trains in a period.

    The states are those of what trains: a resting block's are not on the device. (With a strategy
    that puts them on the CPU it is ``state="release"`` that must be predicted: here the CPU stands
    for the device, and what goes there stays.)
    """
    sizes = [block.numel for block in blocks_of(on_meta(subject.make_model))]
    alike = sizes[:active] == sorted(sizes, reverse=True)[:active]
    kinds: tuple[Which, ...] = ("lowest",) if alike else ("lowest", "largest")
    for which in kinds:

        def change(model: nn.Module, which: Which = which) -> nn.Module:
            return train_blocks(model, active, which, rest)

        yield change, None


def _as_it_is(model: nn.Module) -> nn.Module:
    return model


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
