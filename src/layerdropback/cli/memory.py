"""``ldb memory``: what a training step takes, predicted without weights and GPU."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command()
def memory(
    model: Annotated[
        str | None, typer.Option(help="Name of a timm model.", show_default=False)
    ] = None,
    hf_config: Annotated[
        Path | None,
        typer.Option(
            help="config.json of a Hugging Face model, or its folder; no weights are needed.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples of a step.  [default: 32 images, or 1 row]")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of images in pixels.  [default: the model's]")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of a row.")] = 1024,
    classes: Annotated[int, typer.Option(help="Outputs of a classifier.")] = 1000,
    precision: Annotated[
        str,
        typer.Option(
            help="fp32; bf16: weights, gradients and states, too; autocast: bf16 in the passes "
            "alone; master: bf16, and float32 copies of the weights."
        ),
    ] = "fp32",
    optimizer: Annotated[
        str,
        typer.Option(
            help="adamw-fused, adamw-foreach, adamw-loop, adamw-8bit, sgd or sgd-momentum."
        ),
    ] = "adamw-fused",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Gradient checkpointing.")
    ] = False,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Of full, truncate, blocks, lisa and lora, with commas between them.  [default: "
            "all that the model can be trained in]",
            show_default=False,
        ),
    ] = None,
    active_blocks: Annotated[
        int, typer.Option(help="Blocks that train at a time, in blocks and lisa.")
    ] = 2,
    rank: Annotated[int, typer.Option(help="Of LoRA's adapters.")] = 16,
    drop_rate: Annotated[float, typer.Option(help="Share that truncate skips.")] = 0.5,
    budget: Annotated[
        str | None,
        typer.Option(help="Memory, 24GiB say: shows the largest batch that fits."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for a page with a chart.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
) -> None:
    """Predict the memory of a training step, for several ways to train side by side."""
    from ..lab.memory.arms import Training
    from ..lab.memory.command import Asked, predict

    names = () if arms is None else tuple(arms.replace(" ", "").split(","))
    asked = Asked(
        model, hf_config, batch_size, image_size, tokens, classes, names, budget, out, overwrite
    )
    predict(asked, Training(precision, optimizer, checkpointing, active_blocks, rank, drop_rate))
