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
from .options import layered, with_settings
from .training.config import TrainConfig, as_flags

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


@app.command()
@with_settings
def train(**given: Any) -> None:
    """Train a timm model, with layers dropped (or plain, with --drop-rate 0)."""
    settings = layered(given)
    config = TrainConfig.from_dict(settings)
    config.check()
    from .training import run
    from .training.stopping import Stopped

    try:
        if config.resume:
            run.resume(config, settings)
        else:
            run.train(config)
    except Stopped as stop:  # the parser would take it for any Ctrl-C
        raise typer.Exit(stop.code) from None


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a run's weights as safetensors: of its end, or of its last checkpoint."""
    from .training.deploy import export_run

    export_run(run, to, overwrite)


@app.command()
def evaluate(
    weights: Annotated[
        Path, typer.Argument(help="A run's folder, or a file of ldb export.", show_default=False)
    ],
    data: Annotated[
        str | None, typer.Option(help="As for ldb train.  [default: the run's]")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where downloaded data sets are.  [default: the run's]")
    ] = None,
    limit_test: Annotated[int | None, typer.Option(help="Use so many test images.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read images.")] = None,
) -> None:
    """Test weights on a data set's test images."""
    from .training.deploy import evaluate_weights

    given = {"data": data, "data_dir": data_dir, "limit_test": limit_test, "device": device}
    given |= {"threads": threads, "workers": workers}
    evaluate_weights(weights, {k: v for k, v in given.items() if v is not None})


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
        fail(f"{error.format_message().rstrip('.')}. Cure: see ldb --help or ldb COMMAND --help.")
    sys.exit(code if isinstance(code, int) else 0)


def _warn(message: Warning | str, *details: Any, **more: Any) -> None:
    print(f"ldb: warning: {' '.join(str(message).split())}", file=sys.stderr)
