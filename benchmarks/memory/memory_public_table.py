"""A public table of peak memory on an H100, predicted; and full fine-tuning against LoRA at 8B.

Weights are not needed: models are built from their configs, on no device. See the card for what is
assumed, and docs/memory.md for what it means.

    python -m benchmarks memory-public-table --out benchmarks/results/NAME
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import peft
import torch
import transformers as hf
from torch import nn
from torch.optim import AdamW, Optimizer

from layerdropback import Blocks, Strategy
from layerdropback.lab import predict_memory
from layerdropback.lab.memory.adapting import adapt
from layerdropback.lab.memory.arms import checkpoint
from layerdropback.lab.memory.predict import Prediction

from ..common.card_files import write
from ..common.facts import facts_of, listed
from ..common.flags import out
from .memory_public_card import (
    CARD,
    TOKENS,
    USUAL_TOKENS,
    public_table,
    table_at_8b,
    worst_difference,
)


def llama_8b() -> hf.PretrainedConfig:
    """Llama 3.1 8B."""
    return hf.LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
        max_position_embeddings=131072,
        tie_word_embeddings=False,
        use_cache=False,
    )


def qwen_3b() -> hf.PretrainedConfig:
    """Qwen2.5 3B."""
    return hf.Qwen2Config(
        hidden_size=2048,
        intermediate_size=11008,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=2,
        vocab_size=151936,
        tie_word_embeddings=True,
        use_cache=False,
    )


MODELS = {"8B": llama_8b, "3B": qwen_3b}

# Model, arm, GiB that were measured on an H100 of 80 GB; None: out of memory.
PUBLIC: tuple[tuple[str, str, float | None], ...] = (
    ("8B", "full", None),
    ("8B", "LISA", 52.14),
    ("8B", "LoRA q, v", 34.56),
    ("3B", "full", 57.60),
    ("3B", "LISA", 19.37),
    ("3B", "LoRA q, v", 15.93),
)

AT_8B = ("full", "LISA", "LISA, all states kept", "blocks", "blocks, all states kept", "LoRA")


@dataclass(frozen=True)
class Setup:
    """How a model is trained.

    Attributes:
        weights: their type.
        autocast: of the forward pass.
        rows: of a batch.
        tokens: of a row.
        fused: AdamW's kernel; else foreach.
    """

    weights: torch.dtype
    autocast: torch.dtype | None
    rows: int
    tokens: int
    fused: bool


PUBLIC_SETUP = Setup(torch.float32, torch.bfloat16, 4, USUAL_TOKENS, fused=False)
AT_8B_SETUP = Setup(torch.bfloat16, None, 1, 1024, fused=True)


def make_model(config: Callable[[], Any], arm: str, setup: Setup) -> nn.Module:
    model = hf.AutoModelForCausalLM.from_config(config(), dtype=setup.weights)
    checkpoint(model)
    if arm.startswith("LoRA"):
        return adapt(model, 16, only=("q_proj", "v_proj") if "q, v" in arm else ())
    return model


def make_optimizer(model: nn.Module, setup: Setup) -> Optimizer:
    how: dict[str, Any] = {"fused": True} if setup.fused else {"foreach": True}
    return AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, **how)


def strategy_of(arm: str) -> Strategy | None:
    """Two blocks that take turns, alone or with all else, where the arm is one of those.

    States that are released are what a GPU holds where they are offloaded: here the CPU stands for
    the GPU.
    """
    if not arm.startswith(("LISA", "blocks")):
        return None
    train = ("embedding", "head", "norm") if arm.startswith("LISA") else ()
    return Blocks(2, train=train, state="keep" if arm.endswith("states kept") else "release")


def predicted(name: str, arm: str, setup: Setup) -> tuple[Prediction, float]:
    """The prediction, and the seconds of this process that it took."""

    def make_batch() -> dict[str, torch.Tensor]:
        numbers = torch.randint(0, 1000, (setup.rows, setup.tokens))
        return {"input_ids": numbers, "labels": numbers}

    start = time.process_time()
    found = predict_memory(
        lambda: make_model(MODELS[name], arm, setup),
        lambda model: make_optimizer(model, setup),
        make_batch,
        strategy_of(arm),
        autocast=setup.autocast,
    )
    return found, time.process_time() - start


def record(name: str, arm: str, setup: Setup, **more: Any) -> dict[str, Any]:
    """A prediction in plain values."""
    found, seconds = predicted(name, arm, setup)
    print(f"{name} {arm} {setup.tokens}: {found.gib:.2f} GiB", file=sys.stderr, flush=True)
    values = found.as_dict()
    common = {"model": name, "arm": arm, "rows": setup.rows, "tokens": setup.tokens}
    return {**common, **more, "seconds": round(seconds, 1), **values}


def public_records() -> list[dict[str, Any]]:
    """The public table; where tokens matter, at more of them."""
    records = []
    for name, arm, measured in PUBLIC:
        usual = PUBLIC_SETUP.tokens
        for tokens in (usual, *(other for other in TOKENS if other != usual and measured)):
            setup = replace(PUBLIC_SETUP, tokens=tokens)
            records.append(record(name, arm, setup, measured_gib=measured))
    return records


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)


def run(args: argparse.Namespace) -> None:
    """Predict, and write the card."""
    hf.logging.set_verbosity_error()
    warnings.simplefilter("ignore", FutureWarning)
    facts = facts_of("cpu", hf, peft)
    public, at_8b = public_records(), [record("8B", arm, AT_8B_SETUP) for arm in AT_8B]
    card = CARD.format(
        date=date.today(),
        public=public_table(public),
        worst=worst_difference(public),
        at_8b=table_at_8b(at_8b),
        machine=listed(facts),
        command=args.command,
    )
    write(args.out, card, {"machine": facts, "public": public, "at_8b": at_8b})
    print(card)
