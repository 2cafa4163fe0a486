"""The commands that measure: compare, sweep, profile, paper and report."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError, explain
from ..training.config import TrainConfig
from ..training.dropping import strategies_with
from .app import app, command, flag, offer, stoppable
from .options import choice, layered, numbers, with_settings

_WITH_RATES = ("all", *strategies_with("drop_rate"))

_Task = Annotated[
    str | None,
    flag(
        "Comparison",
        "What is compared instead of images: sentences, or MODULE:FUNCTION of your own.",
    ),
]
_TaskArgs = Annotated[
    list[str], flag("Comparison", "KEY=VALUE for --task, such as model=FOLDER; repeatable.")
]


def _rates(lr_grid: str | None) -> tuple[float, ...]:
    return () if lr_grid is None else numbers(lr_grid, "--lr-grid")


def _compare(
    arm: Annotated[
        list[str],
        flag(
            "Comparison",
            "One more method: KEY=VALUE,... or NAME:KEY=VALUE,... with settings as keys; "
            "repeatable.",
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    seeds: Annotated[int, flag("Comparison", "Runs of each arm, from --seed on.")] = 3,
    margin: Annotated[
        float, flag("Comparison", "Points of accuracy that make no difference; fix it beforehand.")
    ] = 0.5,
    lr_grid: Annotated[
        str | None,
        flag(
            "Comparison",
            "Tune each arm's learning rate among these (0.02,0.05,0.1) on training images "
            "held out.",
        ),
    ] = None,
    tune_seeds: Annotated[int, flag("Comparison", "Runs of each rate of --lr-grid.")] = 1,
    target: Annotated[
        float | None,
        flag(
            "Comparison",
            "Test accuracy whose time is told.  [default: plain training's less --margin]",
        ),
    ] = None,
    task: _Task = None,
    task_arg: _TaskArgs = [],  # noqa: B006 - typer reads it, nobody changes it
    **given: Any,
) -> None:
    """Compare LayerDropBack with plain training, also of equal time, over several seeds."""
    if task is not None:
        how = {"margin": margin, "lr_grid": _rates(lr_grid), "tune_seeds": tune_seeds}
        _compare_task(task, task_arg, arm, seeds, given, how | {"target": target})
        return
    _require_no_arguments(task_arg)
    config = TrainConfig.from_dict(layered(given))
    config.check()
    from ..lab.plan import Plan, seeds_from
    from ..tasks.arms import make_arms
    from ..tasks.images import compare_images

    plan = Plan(seeds_from(config.seed, seeds), margin, _rates(lr_grid), tune_seeds, target)
    with stoppable():
        compare_images(config, make_arms(config, arm), plan)


def _require_no_arguments(task_args: list[str]) -> None:
    if task_args:
        fact = f"--task-arg {task_args[0]} is not usable"
        raise UsageError(explain(fact, "no --task is given", "give one, or leave it out"))


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
        cure = "give the task its own, by --task-arg KEY=VALUE or --arm"
        raise UsageError(explain(fact, cause, cure))
    # The flags that are the lab's own have the same bounds as elsewhere.
    TrainConfig.from_dict({n: v for n, v in values.items() if n in _OF_THE_LAB}).check()
    import torch

    from ..lab.plan import seeds_from
    from ..tasks.custom import compare_study

    if "threads" in values:
        torch.set_num_threads(values.pop("threads"))
    chosen = seeds_from(values.pop("seed", 0), seeds)
    with stoppable():
        compare_study(task, task_args, arms, seeds=chosen, **values, **how)


# A comparison saves itself every minute, for all of its runs together, which one process trains.
_IN_ONE = {"checkpoint_every", "checkpoints", "tensorboard", "parallel"}
command(
    "ldb compare --data digits --epochs 8 --seeds 3",
    "ldb compare --arm strategy=truncate,drop_rate=0.3 --arm cut:strategy=truncate,every=1",
    "ldb compare --task mine:study --seeds 5 --out runs/study",
    name="compare",
)(with_settings(_compare, without=_IN_ONE))


def _sweep(
    rates: Annotated[
        str | None,
        flag("Dropping", "Drop rates.  [default: 0.25,0.5,0.75, or none with --arm]"),
    ] = None,
    strategies: Annotated[
        str | None,
        flag(
            "Dropping",
            "Ways to draw layers, with commas between them.  [default: all]",
            words=_WITH_RATES,
        ),
    ] = None,
    every: Annotated[
        str | None, flag("Dropping", "A drop epoch every so many.  [default: 1,2]")
    ] = None,
    arm: Annotated[
        list[str],
        flag("Comparison", "One more way to drop, as for ldb compare; repeatable."),
    ] = [],  # noqa: B006 - typer reads it, nobody changes it
    seeds: Annotated[int, flag("Comparison", "Runs of each arm, from --seed on.")] = 3,
    lr_grid: Annotated[
        str | None,
        flag("Comparison", "Tune each arm's learning rate among these."),
    ] = None,
    tune_seeds: Annotated[int, flag("Comparison", "Runs of each rate of --lr-grid.")] = 1,
    task: _Task = None,
    task_arg: _TaskArgs = [],  # noqa: B006 - typer reads it, nobody changes it
    **given: Any,
) -> None:
    """Show accuracy against time for many ways to drop, on training data held out."""
    if task is not None:
        given |= {"rates": rates, "strategies": strategies, "every": every}
        how = {"lr_grid": _rates(lr_grid), "tune_seeds": tune_seeds, "kind": "sweep"}
        _compare_task(task, task_arg, arm, seeds, given, how)
        return
    _require_no_arguments(task_arg)
    config = TrainConfig.from_dict(layered(given))
    from ..lab.plan import Plan, seeds_from
    from ..tasks.arms import plain_of
    from ..tasks.images import compare_images
    from ..tasks.sweeping import sweep_arms

    plain = plain_of(config)  # what belongs to one strategy alone is looked at with each arm
    plain.check()
    names = [] if strategies in (None, "all") else strategies.replace(" ", "").split(",")
    shown = ("" if arm else "0.25,0.5,0.75") if rates is None else rates
    chosen_rates = numbers(shown, "--rates") if shown else ()
    arms = sweep_arms(
        config, chosen_rates, names, numbers("1,2" if every is None else every, "--every"), arm
    )
    plan = Plan(seeds_from(config.seed, seeds), 0.5, _rates(lr_grid), tune_seeds, kind="sweep")
    with stoppable():
        compare_images(plain, arms, plan)


command(
    "ldb sweep --data digits --epochs 8",
    "ldb sweep --data cifar10 --download --rates 0.3,0.5 --strategies truncate,branch --every 1",
    name="sweep",
)(with_settings(_sweep, without=_IN_ONE | {"drop_rate", "strategy", "every"}))


def _profile(
    rates: Annotated[str, flag("Dropping", "Drop rates to try.")] = "0.25,0.5,0.75",
    strategies: Annotated[
        str,
        flag(
            "Dropping", "Ways to drop to try, with commas between them, or all.", words=_WITH_RATES
        ),
    ] = "all",
    pairs: Annotated[
        int, flag("Comparison", "Full and drop steps that take turns, for each of them.")
    ] = 15,
    classes: Annotated[int, flag("Model", "Outputs of the model.")] = 1000,
    **given: Any,
) -> None:
    """Show where a model's step spends its time, and what dropping would spare of it."""
    config = TrainConfig.from_dict(layered(given))
    config.check()
    from ..tasks.profiling import Plan, profile_model

    chosen = () if strategies == "all" else tuple(strategies.replace(" ", "").split(","))
    profile_model(config, Plan(numbers(rates, "--rates"), chosen, pairs, classes))


command(
    "ldb profile --model resnet50 --image-size 32",
    "ldb profile --model vit_small_patch16_224 --image-size 224 --rates 0.5 --out runs/profile",
    name="profile",
)(
    with_settings(
        _profile,
        only={"model", "model_args", "stem", "image_size", "batch_size"}
        | {"optimizer", "lr", "momentum", "weight_decay", "decay_all", "unit", "keep"}
        | {"precision", "tf32", "channels_last", "compile", "seed", "device", "threads"}
        | {"out", "overwrite"},
    )
)


_EXPERIMENTS = ("figure1", "figure3", "figure4", "scratch", "finetune")


@command(
    "ldb paper figure3 --scale tiny",
    "ldb paper finetune --dry-run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def paper(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help=f"{choice(_EXPERIMENTS)}; its commands' flags may follow.",
            autocompletion=offer(_EXPERIMENTS),
            show_default=False,
        ),
    ],
    scale: Annotated[
        str,
        flag(
            "Comparison",
            "full, or tiny: end to end in minutes, for a look at it.",
            words=("full", "tiny"),
        ),
    ] = "full",
    out: Annotated[
        Path | None, flag("Output", "Folder to write to.  [default: runs/paper-NAME]")
    ] = None,
    dry_run: Annotated[bool, flag("Output", "Only print the commands.", "--dry-run")] = False,
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


@command("ldb report runs/mine", "ldb report runs/first runs/second --out both")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of ldb compare or ldb train; a compare's record alone, too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, flag("Output", "Folder to write to.  [default: the first run's]")
    ] = None,
) -> None:
    """Show runs as one HTML page that needs no network, as Markdown and as a table."""
    from ..lab.report.build import make_report

    typer.echo(f"wrote {make_report(runs, out)}")
