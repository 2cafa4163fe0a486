"""The command line. Nothing heavy is imported until a command has all it needs."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..__main__ import fail
from ..errors import AttachError, LayerDropBackError, WorkerError, explain
from ..training.config import TrainConfig, as_flags
from .options import layered, numbers, with_settings

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
    from ..training import run
    from ..training.stopping import Stopped

    try:
        if config.resume:
            run.resume(config, settings)
        else:
            run.train(config)
    except Stopped as stop:  # the parser would take it for any Ctrl-C
        raise typer.Exit(stop.code) from None


def _compare(
    arm: Annotated[
        list[str],
        typer.Option(
            help="One more method: KEY=VALUE,... or NAME:KEY=VALUE,... with settings as keys; "
            "repeatable."
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    seeds: Annotated[int, typer.Option(help="Runs of each arm, from --seed on.")] = 3,
    margin: Annotated[
        float, typer.Option(help="Points of accuracy that make no difference; fix it beforehand.")
    ] = 0.5,
    lr_grid: Annotated[
        str | None,
        typer.Option(
            help="Tune each arm's learning rate among these (0.02,0.05,0.1) on training images "
            "held out.",
            show_default=False,
        ),
    ] = None,
    tune_seeds: Annotated[int, typer.Option(help="Runs of each rate of --lr-grid.")] = 1,
    target: Annotated[
        float | None,
        typer.Option(
            help="Test accuracy whose time is told.  [default: plain training's less --margin]",
            show_default=False,
        ),
    ] = None,
    **given: Any,
) -> None:
    """Compare LayerDropBack with plain training, also of equal time, over several seeds.

    --strategy auto chooses how to drop by what was measured with models of this kind.
    """
    settings = layered(given)
    if settings.get("strategy") == "auto":
        from ..lab.auto import auto_config

        config, line = auto_config(settings)
        typer.echo(line)
    else:
        config = TrainConfig.from_dict(settings)
        config.check()
    from ..lab.arms import make_arms
    from ..lab.compare import Plan, compare
    from ..training.stopping import Stopped

    grid = () if lr_grid is None else numbers(lr_grid, "--lr-grid")
    chosen = tuple(range(config.seed, config.seed + max(0, seeds)))
    plan = Plan(chosen, margin, grid, tune_seeds, target)
    try:
        compare(config, make_arms(config, arm), plan)
    except Stopped as stop:
        raise typer.Exit(stop.code) from None


# A comparison saves itself every minute, for all of its runs together, which one process trains.
_IN_ONE = {"checkpoint_every", "checkpoints", "tensorboard", "parallel"}
app.command("compare")(with_settings(_compare, without=_IN_ONE))


def _sweep(
    rates: Annotated[
        str | None,
        typer.Option(
            help="Drop rates.  [default: 0.25,0.5,0.75, or none with --arm]", show_default=False
        ),
    ] = None,
    strategies: Annotated[
        str, typer.Option(help="Ways to draw layers, with commas between them, or all.")
    ] = "all",
    every: Annotated[str, typer.Option(help="A drop epoch every so many.")] = "1,2",
    arm: Annotated[
        list[str],
        typer.Option(help="One more way to drop, as for ldb compare; repeatable."),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    seeds: Annotated[int, typer.Option(help="Runs of each arm, from --seed on.")] = 3,
    lr_grid: Annotated[
        str | None,
        typer.Option(help="Tune each arm's learning rate among these.", show_default=False),
    ] = None,
    tune_seeds: Annotated[int, typer.Option(help="Runs of each rate of --lr-grid.")] = 1,
    **given: Any,
) -> None:
    """Show accuracy against time for many ways to drop, on training images held out."""
    config = TrainConfig.from_dict({**layered(given), "drop_rate": 0.0})
    config.check()
    from ..lab.compare import Plan, compare
    from ..lab.sweep import sweep_arms
    from ..training.stopping import Stopped

    names = [] if strategies == "all" else strategies.replace(" ", "").split(",")
    shown = ("" if arm else "0.25,0.5,0.75") if rates is None else rates
    chosen_rates = numbers(shown, "--rates") if shown else ()
    arms = sweep_arms(config, chosen_rates, names, numbers(every, "--every"), arm)
    grid = () if lr_grid is None else numbers(lr_grid, "--lr-grid")
    chosen = tuple(range(config.seed, config.seed + max(0, seeds)))
    try:
        compare(config, arms, Plan(chosen, 0.5, grid, tune_seeds, kind="sweep"))
    except Stopped as stop:
        raise typer.Exit(stop.code) from None


app.command("sweep")(with_settings(_sweep, without=_IN_ONE | {"drop_rate", "strategy", "every"}))


def _profile(
    rates: Annotated[str, typer.Option(help="Drop rates to try.")] = "0.25,0.5,0.75",
    strategies: Annotated[
        str, typer.Option(help="Ways to drop to try, with commas between them, or all.")
    ] = "all",
    pairs: Annotated[
        int, typer.Option(help="Full and drop steps that take turns, for each of them.")
    ] = 15,
    classes: Annotated[int, typer.Option(help="Outputs of the model.")] = 1000,
    **given: Any,
) -> None:
    """Show where a model's step spends its time, and what dropping would spare of it."""
    config = TrainConfig.from_dict(layered(given))
    config.check()
    from ..lab.profiling.command import Plan, profile_model

    chosen = () if strategies == "all" else tuple(strategies.replace(" ", "").split(","))
    profile_model(config, Plan(numbers(rates, "--rates"), chosen, pairs, classes))


app.command("profile")(
    with_settings(
        _profile,
        only={"model", "model_args", "stem", "image_size", "batch_size"}
        | {"optimizer", "lr", "momentum", "weight_decay", "decay_all", "unit", "keep"}
        | {"precision", "tf32", "channels_last", "compile", "seed", "device", "threads"}
        | {"out", "overwrite"},
    )
)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def paper(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="figure1, figure3, figure4, scratch or finetune; its commands' flags may follow.",
            show_default=False,
        ),
    ],
    scale: Annotated[
        str, typer.Option(help="full, or tiny: end to end in minutes, for a look at it.")
    ] = "full",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.  [default: runs/paper-NAME]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the commands.")] = False,
) -> None:
    """Run an experiment of the paper, and the controls that it leaves out; again: go on with it."""
    from ..lab.paper import reproduce

    def run(arguments: list[str]) -> None:
        own, sys.argv = sys.argv, ["ldb", *arguments]  # records and reports name the command
        try:
            code = app(arguments, prog_name="ldb", standalone_mode=False)
        finally:
            sys.argv = own
        if code:
            raise typer.Exit(code)

    reproduce(name, scale, out, context.args, run, dry_run)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of ldb compare or ldb train.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.  [default: the first run's]")
    ] = None,
) -> None:
    """Show runs as one HTML page that needs no network, as Markdown and as a table."""
    from ..lab.report.build import make_report

    typer.echo(f"wrote {make_report(runs, out)}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a run's weights as safetensors: of its end, or of its last checkpoint."""
    from ..training.deploy import export_run

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
    from ..training.deploy import evaluate_weights

    given = {"data": data, "data_dir": data_dir, "limit_test": limit_test, "device": device}
    given |= {"threads": threads, "workers": workers}
    evaluate_weights(weights, {k: v for k, v in given.items() if v is not None})


def main() -> None:
    """Run the command line; what the user got wrong is one line, and exit code 2."""
    warnings.showwarning = _warn
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="ldb", standalone_mode=False)
    except LayerDropBackError as error:
        if _another_tells() and not isinstance(error, WorkerError):
            sys.exit(2)
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


def _another_tells() -> bool:
    """Whether this is a worker of torchrun's, whose first one tells what all have met."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


def _warn(message: Warning | str, *details: Any, **more: Any) -> None:
    print(f"ldb: warning: {' '.join(str(message).split())}", file=sys.stderr)
