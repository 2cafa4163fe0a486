"""The commands that train in turns: compare and sweep."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from ..errors import UsageError, explain
from ..training.config import TrainConfig
from ..training.dropping import strategies_with
from .app import command, flag, stoppable
from .options import layered, numbers, with_settings

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

    plan = Plan(seeds_from(config.seed, seeds), margin, _rates(lr_grid), tune_seeds, target)
    _compare_images(config, make_arms(config, arm), plan)


def _compare_images(config: TrainConfig, arms: Sequence[Any], plan: Any) -> None:
    """All that can be looked at without torch is, before seconds go by with its import."""
    from ..lab.plan import Place

    plan.check()
    for each in arms:
        each.way.check()
    Place(config.out, config.overwrite, config.resume).folder()
    from ..tasks.images import compare_images

    with stoppable():
        compare_images(config, arms, plan)


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
    from ..lab.plan import Place, Plan, seeds_from
    from ..tasks.asked import read_study

    threads, chosen = values.pop("threads", None), seeds_from(values.pop("seed", 0), seeds)
    Plan(chosen, **how).check()
    Place(**values).folder()
    study = read_study(task, task_args, arms)
    import torch

    from ..tasks.custom import compare_study

    if threads is not None:
        torch.set_num_threads(threads)
    with stoppable():
        compare_study(study, seeds=chosen, **values, **how)


# A comparison saves itself every minute, for all of its runs together, which one process trains.
_IN_ONE = {"checkpoint_every", "checkpoints", "tensorboard", "parallel"}
command(
    "compare",
    "ldb compare --data digits --epochs 8 --seeds 3",
    "ldb compare --arm strategy=truncate,drop_rate=0.3 --arm cut:strategy=truncate,every=1",
    "ldb compare --task mine:study --seeds 5 --out runs/study",
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
    _compare_images(plain, arms, plan)


command(
    "sweep",
    "ldb sweep --data digits --epochs 8",
    "ldb sweep --data cifar10 --download --rates 0.3,0.5 --strategies truncate,branch --every 1",
)(with_settings(_sweep, without=_IN_ONE | {"drop_rate", "strategy", "every"}))
