"""The commands that measure: compare, sweep, profile, paper and report."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError, explain
from ..training.config import TrainConfig
from .app import app, stoppable
from .options import layered, numbers, with_settings


def _seeds(config: TrainConfig, count: int) -> tuple[int, ...]:
    return tuple(range(config.seed, config.seed + max(0, count)))


def _rates(lr_grid: str | None) -> tuple[float, ...]:
    return () if lr_grid is None else numbers(lr_grid, "--lr-grid")


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
    task: Annotated[
        str | None,
        typer.Option(
            help="What is compared instead of images: sentences, or MODULE:FUNCTION of your own.",
            show_default=False,
        ),
    ] = None,
    task_arg: Annotated[
        list[str], typer.Option(help="KEY=VALUE for --task, such as model=FOLDER; repeatable.")
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    **given: Any,
) -> None:
    """Compare LayerDropBack with plain training, also of equal time, over several seeds."""
    if task is not None:
        how = {"margin": margin, "lr_grid": _rates(lr_grid), "tune_seeds": tune_seeds}
        _compare_task(task, task_arg, arm, seeds, given, how | {"target": target})
        return
    if task_arg:
        fact = f"--task-arg {task_arg[0]} is not usable"
        raise UsageError(explain(fact, "no --task is given", "give one, or leave it out"))
    config = TrainConfig.from_dict(layered(given))
    config.check()
    from ..lab.plan import Plan
    from ..tasks.arms import make_arms
    from ..tasks.images import compare_images

    plan = Plan(_seeds(config, seeds), margin, _rates(lr_grid), tune_seeds, target)
    with stoppable():
        compare_images(config, make_arms(config, arm), plan)


# Of the flags of a run, those that a task of one's own leaves to the lab.
_OF_THE_LAB = ("out", "overwrite", "resume", "seed", "threads")


def _compare_task(
    task: str,
    task_args: list[str],
    arms: list[str],
    seeds: int,
    given: Mapping[str, Any],
    how: Mapping[str, Any],
) -> None:
    values = {name: value for name, value in given.items() if value is not None and value != []}
    others = sorted(values.keys() - set(_OF_THE_LAB))
    if others:
        fact = f"--{others[0].replace('_', '-')} is not usable with --task"
        cause = "it is a setting of ldb train's images"
        raise UsageError(explain(fact, cause, "give the task its own, by --task-arg KEY=VALUE"))
    import torch

    from ..tasks.custom import compare_study

    if "threads" in values:
        torch.set_num_threads(values.pop("threads"))
    first = values.pop("seed", 0)
    chosen = tuple(range(first, first + max(0, seeds)))
    with stoppable():
        compare_study(task, task_args, arms, seeds=chosen, **values, **how)


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
    config = TrainConfig.from_dict(layered(given))
    from ..lab.plan import Plan
    from ..tasks.arms import plain_of
    from ..tasks.images import compare_images
    from ..tasks.sweeping import sweep_arms

    plain = plain_of(config)  # what belongs to one strategy alone is looked at with each arm
    plain.check()
    names = [] if strategies == "all" else strategies.replace(" ", "").split(",")
    shown = ("" if arm else "0.25,0.5,0.75") if rates is None else rates
    chosen_rates = numbers(shown, "--rates") if shown else ()
    arms = sweep_arms(config, chosen_rates, names, numbers(every, "--every"), arm)
    plan = Plan(_seeds(config, seeds), 0.5, _rates(lr_grid), tune_seeds, kind="sweep")
    with stoppable():
        compare_images(plain, arms, plan)


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
    from ..training.profiling import Plan, profile_model

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
        list[Path],
        typer.Argument(
            help="Folders of ldb compare or ldb train; a compare's record alone, too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to.  [default: the first run's]")
    ] = None,
) -> None:
    """Show runs as one HTML page that needs no network, as Markdown and as a table."""
    from ..lab.report.build import make_report

    typer.echo(f"wrote {make_report(runs, out)}")
