"""``ldb memory``: what a training step takes, predicted without weights and GPU."""

from pathlib import Path
from typing import Annotated

from .app import choice, command, flag

_PRECISIONS = ("fp32", "bf16", "autocast", "master")
_OPTIMIZERS = ("adamw-fused", "adamw-foreach", "adamw-loop", "adamw-8bit", "sgd", "sgd-momentum")


@command(
    "memory",
    "ldb memory --model resnet50 --budget 24GiB",
    "ldb memory --model vit_base_patch16_224 --batch-size 64 --precision autocast",
    "ldb memory --hf-config my-llama/config.json --tokens 2048 --arms full,lisa,lora",
)
def memory(
    model: Annotated[str | None, flag("Model", "Name of a timm model.")] = None,
    hf_config: Annotated[
        Path | None,
        flag("Model", "config.json of a Hugging Face model, or its folder; no weights are needed."),
    ] = None,
    batch_size: Annotated[
        int | None, flag("Optimisation", "Samples of a step.  [default: 32 images, or 1 row]")
    ] = None,
    image_size: Annotated[
        int | None, flag("Data", "Side of images in pixels.  [default: the model's]")
    ] = None,
    tokens: Annotated[int, flag("Data", "Tokens of a row.")] = 1024,
    classes: Annotated[int, flag("Model", "Outputs of a classifier.")] = 1000,
    precision: Annotated[
        str,
        flag(
            "Machine",
            "fp32; bf16: weights, gradients and states, too; autocast: bf16 in the passes "
            "alone; master: bf16, and float32 copies of the weights.",
            words=_PRECISIONS,
        ),
    ] = "fp32",
    optimizer: Annotated[
        str,
        flag("Optimisation", f"{choice(_OPTIMIZERS)}.", words=_OPTIMIZERS),
    ] = "adamw-fused",
    checkpointing: Annotated[
        bool, flag("Machine", "Gradient checkpointing.", "--checkpointing")
    ] = False,
    arms: Annotated[
        str | None,
        flag(
            "Comparison",
            "Of full, truncate, blocks, lisa and lora, with commas between them.  [default: "
            "all that the model can be trained in]",
        ),
    ] = None,
    active_blocks: Annotated[
        int, flag("Dropping", "Blocks that train at a time, in blocks and lisa.")
    ] = 2,
    rank: Annotated[int, flag("Model", "Of LoRA's adapters.")] = 16,
    drop_rate: Annotated[float, flag("Dropping", "Share that truncate skips.")] = 0.5,
    budget: Annotated[
        str | None,
        flag("Machine", "Memory, 24GiB say: shows the largest batch that fits."),
    ] = None,
    out: Annotated[Path | None, flag("Output", "Folder for a page with a chart.")] = None,
    overwrite: Annotated[bool, flag("Output", "Replace the page.", "--overwrite")] = False,
) -> None:
    """Predict the memory of a training step, for several ways to train side by side."""
    from ..lab.memory.arms import Training
    from ..lab.memory.command import Asked, predict

    names = () if arms is None else tuple(arms.replace(" ", "").split(","))
    asked = Asked(
        model, hf_config, batch_size, image_size, tokens, classes, names, budget, out, overwrite
    )
    predict(asked, Training(precision, optimizer, checkpointing, active_blocks, rank, drop_rate))
