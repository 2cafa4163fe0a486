"""Attaching for a framework: its words in errors, and a warning where its run would never drop."""

import warnings
from typing import Any

from ..controller import LayerDropBack
from ..errors import AttachError, explain
from ..settings import Settings

_CURE = "DistributedDataParallel(..., find_unused_parameters=True)"


def attached(model: Any, optimizers: Any, settings: Settings, ddp_cure: str) -> LayerDropBack:
    """Attach to what a framework calls and steps.

    Args:
        model: what its loop calls, wrappers included.
        optimizers: one or several.
        settings: of LayerDropBack.
        ddp_cure: how a user of the framework sets ``find_unused_parameters``.

    Raises:
        AttachError: as LayerDropBack raises it, with the framework's cure.
    """
    try:
        return LayerDropBack(model, optimizers, **vars(settings))
    except AttachError as error:
        problems = [problem.replace(_CURE, ddp_cure) for problem in error.problems]
        raise AttachError(problems) from error


def logged(ldb: LayerDropBack, drops: bool) -> dict[str, float]:
    """What a callback gives to a trainer's loggers; what is not known is left out.

    Args:
        ldb: the run's.
        drops: whether the step that is logged is a drop step.
    """
    stats = ldb.stats()
    numbers = {"share_dropped": stats["share_dropped"], "backward_saved": stats["backward_saved"]}
    known = {f"ldb/{name}": number for name, number in numbers.items() if number is not None}
    return known | {"ldb/drops": float(drops)}


def warn_of_never(settings: Settings, epochs: int, steps: int) -> None:
    """Say so where nothing will drop in a run of so many epochs and steps; below 1 is unknown."""
    schedule, periods = settings.schedule, epochs
    every, start = schedule.pace
    if schedule.steps is not None:
        periods = -(-steps // schedule.steps)
    if not settings.ever_drops or periods < 1:
        return
    _warn_of_one_turn(settings, periods)
    # A run without an end has a drop epoch sooner or later.
    if any(map(settings.is_drop_epoch, range(min(periods, start + 2 * every)))):
        return
    of = "epoch" if schedule.steps is None else f"period of {schedule.steps} steps"
    fact = f"nothing will be dropped: the run has {periods} {of}{'s' if periods > 1 else ''}"
    cause = f"every {every}. {of} drops, from {of} {start} on, counted from 0"
    cure = "give Schedule(every=1, start=0), or shorter periods, Schedule(steps=...)"
    warnings.warn(explain(fact, cause, cure), stacklevel=3)


def _warn_of_one_turn(settings: Settings, periods: int) -> None:
    """Say so where blocks should take turns, and the run has one turn."""
    moves = getattr(settings.strategy, "order", "fixed") != "fixed"
    if moves and periods == 1:
        fact = "the same blocks train in the whole run"
        cause = "it has one period of the schedule"
        cure = "give shorter periods, Schedule(steps=...), or order='fixed' if that is meant"
        warnings.warn(explain(fact, cause, cure), stacklevel=4)


def warn_of_no_state(step: int) -> None:
    """Say so where a resumed run finds no state of ours."""
    fact = f"the run goes on at step {step}, LayerDropBack begins anew"
    cause = "the checkpoint has no state of LayerDropBackCallback"
    cure = "resume from one that was saved with the callback, or ignore this"
    warnings.warn(explain(fact, cause, cure), stacklevel=3)
