"""The card of `memory_public_table`."""

from typing import Any

from layerdropback.lab.tables import markdown_table

GIB = 2**30
KINDS = ("parameters", "gradients", "states", "saved", "temporary")

# Tokens of a row at which the arms are predicted that depend on it.
TOKENS = (400, 475, 550)
USUAL_TOKENS = 475


def public_table(records: list[dict[str, Any]]) -> str:
    head = ["model", "arm", "measured, GiB", "predicted, GiB", "difference", "peak in"]
    head += [f"{tokens} tokens" for tokens in TOKENS] + ["seconds"]
    peaks = {(r["model"], r["arm"], r["tokens"]): r["peak"] / GIB for r in records}
    rows = []
    for one in records:
        if one["tokens"] != USUAL_TOKENS:
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


def worst_difference(records: list[dict[str, Any]]) -> float:
    """Of predicted from measured, in percent."""
    return 100 * max(
        abs(one["peak"] / GIB / one["measured_gib"] - 1)
        for one in records
        if one["measured_gib"] and one["tokens"] == USUAL_TOKENS
    )


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
