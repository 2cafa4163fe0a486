"""A comparison's record at its beginning, and what it says of the comparison that it is."""

from collections.abc import Sequence
from typing import Any

from ..runs.machine import command_line, measured_on
from .arms import Arm
from .plan import Plan
from .record import Record
from .task import Task


def identity(plan: Plan, task: Task, arms: Sequence[Arm]) -> dict[str, Any]:
    """What must be the same for another process to go on with a comparison.

    Args:
        plan: how arms are compared; more seeds are no other comparison.
        task: what is learnt.
        arms: plain training first; of the others what differs from it.
    """
    first, *others = (arm.as_dict(task) for arm in arms)
    shared = first["settings"]
    differing = {
        f"{arm['name']}: {name}": value
        for arm in others
        for name, value in arm["settings"].items()
        if value != shared.get(name)
    }
    own = {"epochs": shared["epochs"], "lr": shared["lr"], "plain": task.says(arms[0].way)}
    decides: dict[str, Any] = {"margin": plan.margin, "lr_grid": list(plan.lr_grid)}
    decides |= {"tune_seeds": plan.tune_seeds, "target": plan.target}
    kind = {} if plan.kind == "comparison" else {"kind": plan.kind}
    return own | task.identity() | differing | kind | decides


def new_record(plan: Plan, task: Task, arms: Sequence[Arm]) -> Record:
    """The record of a comparison in which nothing was run yet."""
    made = [arm.as_dict(task) for arm in arms]
    return Record(
        command=command_line(),
        facts=measured_on(task.device),
        data=task.facts(),
        settings=made[0]["settings"],
        identity=identity(plan, task, arms),
        arms=made,
        seeds=list(plan.seeds),
        margin=plan.margin,
        by_front=True,
        kind=plan.kind,
        target=plan.target,
    )
