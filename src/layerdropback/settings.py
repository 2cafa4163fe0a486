"""What the user can choose, and whether it makes sense; imports nothing heavy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

from .errors import explain
from .schedule import Ramp, Schedule

Strategy = Literal["uniform", "truncate", "branch", "adaptive", "none"]
Unit = Literal["layer", "block", "tensor"]
Resample = Literal["step", "epoch"]
Depth = Literal["uniform", "fixed", "power"]
Allocate = Literal["even", "cost", "sensitivity"]

STRATEGIES: tuple[str, ...] = get_args(Strategy)
UNITS: tuple[str, ...] = get_args(Unit)
RESAMPLE: tuple[str, ...] = get_args(Resample)
DEPTHS: tuple[str, ...] = get_args(Depth)
ALLOCATE: tuple[str, ...] = get_args(Allocate)
RAMPS: tuple[str, ...] = get_args(Ramp)


@dataclass(frozen=True)
class Settings:
    """What the user chose; see `LayerDropBack` for each."""

    schedule: Schedule
    strategy: Strategy
    unit: Unit
    resample: Resample
    keep: tuple[str, ...]
    verify: bool
    depth: Depth = "uniform"
    masks: int | None = None
    rates: tuple[tuple[str, float], ...] = ()
    target_saving: float | None = None
    allocate: Allocate = "even"

    @property
    def needs_costs(self) -> bool:
        """Whether masks hang on what each layer's backward pass costs."""
        asked = self.cuts or self.target_saving is not None or self.allocate != "even"
        return asked and self.schedule.ever_drops

    @property
    def cuts(self) -> bool:
        """Whether a mask drops all that is below a depth."""
        return self.strategy in ("truncate", "adaptive")

    @property
    def needs_branches(self) -> bool:
        """Whether masks are made of residual branches."""
        return self.strategy == "branch" and self.schedule.ever_drops

    def as_facts(self) -> dict[str, object]:
        """Each setting by name, those of the schedule among them."""
        own = {name: value for name, value in vars(self).items() if name != "schedule"}
        return vars(self.schedule) | own


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
        "it is the share that is dropped",
        "give a number in [0, 1), 0 for plain training",
    )
    cure = f"give one of {', '.join(STRATEGIES)}"
    check(strategy in STRATEGIES, "strategy", strategy, "there is no such strategy", cure)
    cure = f"give one of {', '.join(UNITS)}"
    check(settings.unit in UNITS, "unit", settings.unit, "no such unit exists", cure)
    cure = f"give one of {', '.join(RESAMPLE)}"
    check(resample in RESAMPLE, "resample", resample, "masks are drawn per step or epoch", cure)
    cure = f"give one of {', '.join(DEPTHS)}"
    depth = settings.depth
    check(depth in DEPTHS, "depth", depth, "there is no such distribution of depths", cure)
    cure = f"give one of {', '.join(ALLOCATE)}"
    allocate = settings.allocate
    check(allocate in ALLOCATE, "allocate", allocate, "there is no such way", cure)
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
    cure = f"give one of {', '.join(RAMPS)}"
    check(schedule.ramp in RAMPS, "ramp", schedule.ramp, "there is no such ramp", cure)
    anneal = schedule.anneal
    good = _number(anneal) and 0 <= anneal < 1
    check(good, "anneal", anneal, "it is a share of the run", "give a number in [0, 1)")
    period, length = schedule.period_steps, schedule.length
    good = period is None or _count(period, 1)
    check(good, "period_steps", period, "steps are counted", "give an integer from 1 on, or None")
    good = length is None or (_number(length) and length > 0)
    check(good, "length", length, "a run has some length", "give a number above 0, or None")
    needs = [f"ramp={schedule.ramp!r}"] * (schedule.ramp != "constant")
    needs += [f"anneal={anneal!r}"] * (anneal != 0)
    for name in needs if length is None else ():
        cure = "give length=, the run's epochs (with period_steps its optimizer steps)"
        found.append(explain(f"{name} needs a length", "it refers to the whole run", cure))
    if period is not None and batch != 1:
        fact = f"period_steps={period!r} and batch_scale={batch!r} exclude each other"
        cause = "a loader's batch size changes between epochs only"
        found.append(explain(fact, cause, "give one of them"))
    masks = settings.masks
    good = masks is None or (_count(masks, 2) and masks <= 4096)
    check(
        good, "masks", masks, "a pool holds some masks", "give an integer from 2 to 4096, or None"
    )
    target = settings.target_saving
    good = target is None or (_number(target) and 0 < target < 1)
    check(good, "target_saving", target, "it is a share of a step", "give a number in (0, 1)")
    for pattern, own in settings.rates:
        good = isinstance(pattern, str) and _number(own) and 0 <= own < 1
        cure = "give {'a name or pattern': a number in [0, 1), ...}"
        check(good, "rates", {pattern: own}, "it maps layers to their drop rates", cure)
    if settings.rates and settings.cuts:
        fact = f"rates= is not usable with strategy={strategy!r}"
        cause = "a cut drops all layers below it, not each at a rate of its own"
        found.append(explain(fact, cause, "use keep=, or strategy='uniform' or 'branch'"))
    if allocate != "even" and settings.cuts:
        fact = f"allocate={allocate!r} is not usable with strategy={strategy!r}"
        cause = "a cut drops all layers below it, not each at a rate of its own"
        found.append(explain(fact, cause, "use strategy='uniform' or 'branch'"))
    if allocate != "even" and settings.rates:
        fact = f"rates and allocate={allocate!r} exclude each other"
        found.append(explain(fact, "both say what each layer's rate is", "give one"))
    if target is not None and strategy == "adaptive":
        fact = "target_saving is not usable with strategy='adaptive'"
        cause = "what it spares changes as the training goes on"
        found.append(explain(fact, cause, "give drop_rate, or use strategy='truncate'"))
    if settings.rates and target is not None:
        cause = "a budget is met by one rate for all"
        found.append(explain("rates and target_saving exclude each other", cause, "give one"))
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
