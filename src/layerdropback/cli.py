"""The command line. Nothing heavy is imported until a command has all it needs."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .__main__ import fail
from .errors import AttachError, LayerDropBackError, explain
from .presets import PRESETS
from .settings import RESAMPLE, STRATEGIES, UNITS
from .training.config import (
    DEVICES,
    LEARNING_RATES,
    OPTIMIZERS,
    STEMS,
    Dropping,
    TrainConfig,
    as_flags,
)

_DEFAULT, _DROP = TrainConfig(), Dropping()
_RATES = ", ".join(f"{rate:g} for {name}" for name, rate in LEARNING_RATES.items())

app = typer.Typer(
    name="ldb",
    help="Train deep networks faster by dropping random layers from the backward pass only.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ldb {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def _choice(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


@app.command()
def train(
    model: Annotated[str, typer.Option(help="Name of a timm model.")] = _DEFAULT.model,
    data: Annotated[
        str, typer.Option(help="digits, or folder:DIR with DIR/train/<class>/* and DIR/test/...")
    ] = _DEFAULT.data,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = _DEFAULT.epochs,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = _DEFAULT.batch_size,
    lr: Annotated[
        float | None,
        typer.Option(help=f"Peak learning rate, decays by a cosine.  [default: {_RATES}]"),
    ] = None,
    optimizer: Annotated[str, typer.Option(help=f"{_choice(OPTIMIZERS)}.")] = _DEFAULT.optimizer,
    momentum: Annotated[float, typer.Option(help="Of SGD (Nesterov).")] = _DEFAULT.momentum,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = _DEFAULT.weight_decay,
    preset: Annotated[
        str | None,
        typer.Option(help=f"The authors' settings, {_choice(list(PRESETS))}; flags win over it."),
    ] = None,
    drop_rate: Annotated[
        float | None,
        typer.Option(help=f"Chance of a layer to drop, 0: plain.  [default: {_DROP.drop_rate}]"),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help=f"{_choice(STRATEGIES)}.  [default: {_DROP.strategy}]"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help=f"What drops as one: {_choice(UNITS)}.  [default: {_DROP.unit}]"),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help=f"A drop epoch every so many.  [default: {_DROP.every}]")
    ] = None,
    start: Annotated[
        int | None, typer.Option(help=f"First drop epoch, from 0.  [default: {_DROP.start}]")
    ] = None,
    lr_scale: Annotated[
        str | None,
        typer.Option(help=f"LR factor in drop epochs, or inverse.  [default: {_DROP.lr_scale}]"),
    ] = None,
    batch_scale: Annotated[
        float | None,
        typer.Option(help=f"Batch factor in drop epochs.  [default: {_DROP.batch_scale}]"),
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(help=f"A mask per {_choice(RESAMPLE)}.  [default: {_DROP.resample}]"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Layers never to drop, wildcards allowed; may be given again."),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Check every step; slower.")] = False,
    seed: Annotated[int, typer.Option(help="Of weights, data and masks.")] = _DEFAULT.seed,
    augment: Annotated[bool, typer.Option(help="Random crops and flips.")] = _DEFAULT.augment,
    image_size: Annotated[
        int | None, typer.Option(help="Resize the images of a folder to this side.")
    ] = None,
    stem: Annotated[
        str, typer.Option(help=f"{_choice(STEMS)}; auto: small for images up to 64 pixels.")
    ] = _DEFAULT.stem,
    limit_train: Annotated[int | None, typer.Option(help="Use so many training images.")] = None,
    limit_test: Annotated[int | None, typer.Option(help="Use so many test images.")] = None,
    device: Annotated[str, typer.Option(help=f"{_choice(DEVICES)}.")] = _DEFAULT.device,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder.  [default: a new one under runs/]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run.")] = False,
) -> None:
    """Train a timm model, with layers dropped (or plain, with --drop-rate 0)."""
    dropping = Dropping.from_preset(
        preset,
        drop_rate=drop_rate,
        strategy=strategy,
        unit=unit,
        every=every,
        start=start,
        lr_scale=_lr_scale(lr_scale),
        batch_scale=batch_scale,
        resample=resample,
        keep=tuple(keep) if keep else None,
        verify=verify,
    )
    config = TrainConfig(
        model=model,
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        lr=LEARNING_RATES.get(optimizer, _DEFAULT.lr) if lr is None else lr,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        dropping=dropping,
        seed=seed,
        augment=augment,
        image_size=image_size,
        stem=stem,
        limit_train=limit_train,
        limit_test=limit_test,
        device=device,
        threads=threads,
        out=out,
        overwrite=overwrite,
    )
    config.check()
    run = _training()
    run.train(config)


def _lr_scale(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text  # "inverse", or wrong: the settings' own check tells


def _training() -> Any:
    from .training import run

    return run


def main() -> None:
    """Run the command line; what the user got wrong is one line, and exit code 2."""
    warnings.showwarning = _warn
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="ldb", standalone_mode=False)
    except LayerDropBackError as error:
        text = error.problems[0] if isinstance(error, AttachError) else str(error)
        fail(as_flags(text))
    except BrokenPipeError:  # the reader of our output has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fact = f"cannot use {error.filename}" if error.filename else "the system refuses"
        fail(explain(fact, error.strerror or str(error), "check the path, its rights and room"))
    except Exception as error:
        # The parser's own errors; their class moved between releases of typer, their method not.
        if not hasattr(error, "format_message"):
            raise
        fail(f"{error.format_message().rstrip('.')}. Cure: see ldb --help or ldb train --help.")
    sys.exit(code if isinstance(code, int) else 0)


def _warn(message: Warning | str, *details: Any, **more: Any) -> None:
    print(f"ldb: warning: {' '.join(str(message).split())}", file=sys.stderr)
