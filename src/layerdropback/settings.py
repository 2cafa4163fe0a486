"""What the user can choose, and whether it makes sense; imports nothing heavy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

from .errors import explain
from .schedule import Schedule

Strategy = Literal["uniform", "none"]
Unit = Literal["layer", "block", "tensor"]
Resample = Literal["step", "epoch"]

STRATEGIES: tuple[str, ...] = get_args(Strategy)
UNITS: tuple[str, ...] = get_args(Unit)
RESAMPLE: tuple[str, ...] = get_args(Resample)


@dataclass(frozen=True)
class Settings:
    """What the user chose; see `LayerDropBack` for each."""

    schedule: Schedule
    strategy: Strategy
    unit: Unit
    resample: Resample
    keep: tuple[str, ...]
    verify: bool


def settings_problems(settings: Settings, seed: int) -> list[str]:
    """Problems of the numbers and names that the user gave."""
    found: list[str] = []

    def check(good: bool, name: str, value: object, cause: str, cure: str) -> None:
        if not good:
            found.append(explain(f"{name}={value!r} is not usable", cause, cure))

    schedule, strategy, resample = settings.schedule, settings.strategy, settings.resample
    rate, lr, batch = schedule.drop_rate, schedule.lr_scale, schedule.batch_scale
    check(
        _number(rate) and 0 <= rate < 1,
        "drop_rate",
        rate,
        "it is the probability with which a layer is dropped",
        "give a number in [0, 1), 0 for plain training",
    )
    cure = f"give one of {', '.join(STRATEGIES)}"
    check(strategy in STRATEGIES, "strategy", strategy, "there is no such strategy", cure)
    cure = f"give one of {', '.join(UNITS)}"
    check(settings.unit in UNITS, "unit", settings.unit, "no such unit exists", cure)
    cure = f"give one of {', '.join(RESAMPLE)}"
    check(resample in RESAMPLE, "resample", resample, "masks are drawn per step or epoch", cure)
    cause = "epochs are counted"
    check(_count(schedule.every, 1), "every", schedule.every, cause, "give an integer from 1 on")
    check(_count(schedule.start, 0), "start", schedule.start, cause, "give an integer from 0 on")
    check(
        lr == "inverse" or (_number(lr) and lr > 0),
        "lr_scale",
        lr,
        "it multiplies the learning rate in drop epochs",
        "give a number above 0, or 'inverse' for 1 / (1 - drop_rate)",
    )
    check(
        _number(batch) and batch > 0,
        "batch_scale",
        batch,
        "it multiplies the batch size in drop epochs",
        "give a number above 0",
    )
    keep = settings.keep
    check(
        all(isinstance(pattern, str) for pattern in keep),
        "keep",
        keep,
        "layers are kept by name",
        "give a list of names or patterns",
    )
    good_seed = _count(seed, 0) and seed < 2**64
    check(good_seed, "seed", seed, "it keys the masks", "give an integer in [0, 2**64)")
    return found


def names_of(keep: object) -> tuple[object, ...]:
    """What was given as ``keep``, as a tuple; what is no sequence of names stays to be told."""
    return tuple(keep) if isinstance(keep, Sequence) and not isinstance(keep, str) else (keep,)


def _number(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def _count(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
