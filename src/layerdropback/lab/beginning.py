"""What a comparison begins with: its arms with all that is decided, and an empty record."""

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from ..runs.device import find_device
from ..runs.machine import machine
from ..training.config import TrainConfig
from ..training.images.data import ImageData
from ..training.run_folder import identity
from .arms import Arm
from .plan import Plan
from .record import Record


def decided_arms(config: TrainConfig, arms: Iterable[Arm]) -> dict[str, Arm]:
    """The arms by name; what was left to the data is decided once, for all of them.

    Args:
        config: with that decided.
        arms: to be compared.
    """
    decided = {name: getattr(config, name) for name in ("in_memory", "crop", "flip")}
    return {
        arm.name: replace(arm, config=replace(arm.config, **_open(arm.config, decided)))
        for arm in arms
    }


def identity_of(
    config: TrainConfig, data: ImageData, arms: Iterable[Arm], plan: Plan
) -> dict[str, Any]:
    """What must be the same for another process to go on with a comparison."""
    shared = config.as_dict()
    differing = {
        f"{arm.name}: {name}": value
        for arm in arms
        for name, value in _settings(arm).items()
        if value != shared[name]
    }
    chosen = asdict(plan)
    decides = {name: chosen[name] for name in ("margin", "lr_grid", "tune_seeds", "target")}
    kind = {} if plan.kind == "comparison" else {"kind": plan.kind}
    plain = {name: _plain(value) for name, value in decides.items()}
    return identity(config, data) | differing | kind | plain


def new_record(config: TrainConfig, data: ImageData, arms: Iterable[Arm], plan: Plan) -> Record:
    """The record of a comparison in which nothing was run yet."""
    arms = list(arms)
    return Record(
        command=shlex.join(["ldb", *sys.argv[1:]]),
        facts=machine(find_device(config.device)),
        data={
            "name": data.name,
            "train": len(data.train),
            "test": len(data.test),
            "size": data.size,
            "classes": len(data.classes),
        },
        settings=config.as_dict(),
        identity=identity_of(config, data, arms, plan),
        arms=[arm_as_dict(arm) for arm in arms],
        seeds=list(plan.seeds),
        margin=plan.margin,
        by_front=True,
        kind=plan.kind,
        target=plan.target,
    )


def arm_as_dict(arm: Arm) -> dict[str, Any]:
    """An arm as a record has it."""
    return {
        "name": arm.name,
        "role": arm.role,
        "of": arm.of,
        "says": arm.says,
        "settings": _settings(arm),
    }


def _open(config: TrainConfig, decided: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was decided, that which an arm's settings leave open."""
    return {
        name: value
        for name, value in decided.items()
        if getattr(config, name) in ("auto", None) and (name == "in_memory" or config.augment)
    }


def _settings(arm: Arm) -> dict[str, Any]:
    """An arm's settings but for where it is and its seed."""
    left_out = ("out", "overwrite", "resume", "seed")
    return {name: value for name, value in arm.config.as_dict().items() if name not in left_out}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
