"""A public table of peak memory on an H100, predicted; and full fine-tuning against LoRA at 8B.

Weights are not needed: models are built from their configs, on no device. See the card for what is
assumed, and docs/memory.md for what it means.

    python benchmarks/memory_public_table.py --out benchmarks/results/NAME
"""

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import peft
import torch
import transformers as hf
from card import write as write_card
from torch import nn
from torch.optim import AdamW, Optimizer

from layerdropback import Blocks, Strategy
from layerdropback.lab import predict_memory
from layerdropback.lab.memory.adapting import adapt
from layerdropback.lab.memory.arms import checkpoint
from layerdropback.lab.memory.predict import Prediction
from layerdropback.lab.tables import markdown_table
from layerdropback.runs.machine import machine

GIB = 2**30
KINDS = ("parameters", "gradients", "states", "saved", "temporary")


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

# Tokens of a row at which the arms are predicted that depend on it.
TOKENS = (400, 475, 550)

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


PUBLIC_SETUP = Setup(torch.float32, torch.bfloat16, 4, 475, fused=False)
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


def public_table(records: list[dict[str, Any]]) -> str:
    head = ["model", "arm", "measured, GiB", "predicted, GiB", "difference", "peak in"]
    head += [f"{tokens} tokens" for tokens in TOKENS] + ["seconds"]
    peaks = {(r["model"], r["arm"], r["tokens"]): r["peak"] / GIB for r in records}
    rows = []
    for one in records:
        if one["tokens"] != PUBLIC_SETUP.tokens:
            continue
        key, measured, gib = (one["model"], one["arm"]), one["measured_gib"], one["peak"] / GIB
        off = "" if measured is None else f"{100 * (gib / measured - 1):+.2f} %"
        row = [*key, "out of memory" if measured is None else f"{measured:.2f}", f"{gib:.2f}", off]
        row.append(one["phase"])
        row += [f"{peaks[*key, t]:.2f}" if (*key, t) in peaks else "" for t in TOKENS]
        rows.append([*row, f"{one['seconds']:.1f}"])
    return markdown_table(head, rows)


def table_at_8b(records: list[dict[str, Any]]) -> str:
    head = ["arm", "trained", "parameters", "gradients", "states", "saved", "temporary"]
    head += ["peak, GB", "peak, GiB", "of full", "of LoRA", "peak in", "first step, GB", "seconds"]
    peaks = {one["arm"]: one["peak"] for one in records}
    rows = []
    for one in records:
        kinds = [one["kinds"].get(kind, 0) / 1e9 for kind in KINDS]
        row = [one["arm"], f"{100 * one['trained'] / one['parameters']:.3g} %"]
        row += [f"{value:.2f}" for value in kinds]
        row += [f"{one['peak'] / 1e9:.2f}", f"{one['peak'] / GIB:.2f}"]
        row += [f"{one['peak'] / peaks['full']:.2f}", f"{one['peak'] / peaks['LoRA']:.2f}"]
        first = "" if one["first"] is None else f"{one['first'] / 1e9:.2f}"
        rows.append([*row, one["phase"], first, f"{one['seconds']:.1f}"])
    return markdown_table(head, rows)


def main() -> None:
    """Predict, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    args = parser.parse_args()
    hf.logging.set_verbosity_error()
    warnings.simplefilter("ignore", FutureWarning)
    public, at_8b = public_records(), [record("8B", arm, AT_8B_SETUP) for arm in AT_8B]
    facts = machine(torch.device("cpu"))
    facts["versions"] |= {"transformers": hf.__version__, "peft": peft.__version__}
    worst = max(
        abs(one["peak"] / GIB / one["measured_gib"] - 1)
        for one in public
        if one["measured_gib"] and one["tokens"] == PUBLIC_SETUP.tokens
    )
    card = CARD.format(
        date=date.today(),
        public=public_table(public),
        worst=100 * worst,
        at_8b=table_at_8b(at_8b),
        machine="; ".join(f"{k} {v}" for part in facts.values() for k, v in part.items()),
        command=f"python benchmarks/memory_public_table.py {shlex.join(sys.argv[1:])}",
    )
    write_card(args.out, card, {"machine": facts, "public": public, "at_8b": at_8b})
    print(card)


CARD = """# A public table of memory, predicted ({date})

No weights and no GPU: `layerdropback.lab.predict_memory` builds the models from their configs, and
makes two training steps with tensors that have no data. What was measured is somebody else's: a
public benchmark of LISA on an H100 of 80 GB (200 steps of Alpaca, AdamW), peak memory in GiB.

{public}

Predicted and measured differ by at most {worst:.2f} %. What is assumed, since the benchmark does
not say all of it: float32 weights and states, bf16 autocast, AdamW with foreach, gradient
checkpointing; LISA with 2 of the blocks, embeddings, norms and head, states of those alone; LoRA of
rank 16 on the query and value matrices; 4 rows of 475 tokens. The tokens are one number that was
fitted to the LoRA rows; the three columns of tokens show how much depends on it. Full fine-tuning
of 3B and LISA of 8B have their peak in the optimizer's step, and do not depend on it at all.

## Full fine-tuning in LoRA's memory, at 8B

Llama 3.1 8B, all in bf16, AdamW (fused), one row of 1,024 tokens, gradient checkpointing; GB at the
peak. *Blocks*: two blocks train at a time and all else rests, with no optimizer state on the GPU.
*LISA*: embeddings, norms and head train, too. *All states kept*: as most trainers do it, a block's
state stays when its turn is over; after all have had theirs. *LoRA*: rank 16 (float32) on all
matrices of attention and MLP. Blocks and LISA are `Blocks(2)`, attached to the model; it is one
period's step that is predicted, with the two lowest blocks. *First step*: of the run, in which the
order of the layers is read.

{at_8b}

Not counted: the CUDA context, workspaces of kernels, fragmentation. Seconds are this process's, on
one core, the building of the model among them.

- {machine}
- `{command}`
"""


if __name__ == "__main__":
    main()
