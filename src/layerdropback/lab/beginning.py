"""What a comparison begins with: what it is told apart by, and an empty record."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..runs.machine import command_line, machine
from .arms import Arm
from .plan import Plan
from .record import Record
from .task import Task


def identity_of(task: Task, arms: Sequence[Arm], plan: Plan) -> dict[str, Any]:
    """What must be the same for another process to go on with a comparison.

    Args:
        task: what is learnt.
        arms: plain training first; of the others what differs from it.
        plan: how they are compared.
    """
    first, *others = (arm.as_dict(task) for arm in arms)
    shared = first["settings"]
    differing = {
        f"{arm['name']}: {name}": value
        for arm in others
        for name, value in arm["settings"].items()
        if value != shared.get(name)
    }
    chosen = asdict(plan)
    decides = {name: chosen[name] for name in ("margin", "lr_grid", "tune_seeds", "target")}
    kind = {} if plan.kind == "comparison" else {"kind": plan.kind}
    plain = {name: _plain(value) for name, value in decides.items()}
    own = {name: shared[name] for name in ("epochs", "lr")} | {"plain": task.says(arms[0].way)}
    return own | task.identity() | differing | kind | plain


def new_record(task: Task, arms: Sequence[Arm], plan: Plan) -> Record:
    """The record of a comparison in which nothing was run yet."""
    made = [arm.as_dict(task) for arm in arms]
    return Record(
        command=command_line(),
        facts=machine(task.device),
        data=task.facts(),
        settings=made[0]["settings"],
        identity=identity_of(task, arms, plan),
        arms=made,
        seeds=list(plan.seeds),
        margin=plan.margin,
        by_front=True,
        kind=plan.kind,
        target=plan.target,
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
