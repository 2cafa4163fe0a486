"""``ldb sweep``: many ways to drop, accuracy against time, beside plain training's own front.

Shorter plain training buys time with accuracy, too. A way to drop is worth something where it lies
above what plain runs of several lengths reach, which the paper's Figure 3 leaves out.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ..errors import UsageError, explain
from ..training.config import TrainConfig
from ..training.dropping import strategies_with
from .arms import PLAIN, Arm, parse_arm, plain_of
from .front import at_time
from .record import Record
from .statistics import ERROR, Interval, chance, holm, interval

# Parts of its epochs after which plain training is run to its end, too.
SHARES = (0.75, 0.5)


def sweep_arms(
    config: TrainConfig,
    rates: Sequence[float],
    strategies: Sequence[str],
    every: Sequence[float],
    more: Sequence[str] = (),
) -> list[Arm]:
    """Plain training of several lengths, and every way to drop.

    Args:
        config: all other settings; of a strategy's own those that it has.
        rates: drop rates.
        strategies: ways to draw layers; empty: all that drop any.
        every: a drop epoch every so many.
        more: further ways, as `parse_arm` reads them.

    Raises:
        UsageError: a value makes no sense.

    Example:
        >>> arms = sweep_arms(TrainConfig(epochs=8), [0.5], ["truncate"], [1, 2])
        >>> [(arm.name, arm.config.epochs) for arm in arms[:3]]
        [('plain', 8), ('plain 0.75', 6), ('plain 0.5', 4)]
        >>> [arm.name for arm in arms[3:]]
        ['truncate 0.5 every 1', 'truncate 0.5 every 2']
    """
    steps = config.dropping.given.get("period_steps")
    if steps is not None:
        fact = f"--period-steps {steps} is not usable in a sweep"
        cause = "arms are timed by epochs that drop and epochs that do not"
        raise UsageError(explain(fact, cause, "leave it out"))
    plain = plain_of(config)
    arms = [Arm(PLAIN, plain, "plain")]
    for share in SHARES:
        warmup = share * plain.warmup_epochs
        shorter = replace(plain, epochs=share * plain.epochs, warmup_epochs=warmup)
        arms.append(Arm(f"{PLAIN} {share:g}", shorter, "shorter"))
    chosen = strategies or strategies_with("drop_rate")
    for name, rate, epochs in itertools.product(chosen, rates, every):
        if epochs != int(epochs):
            fact, cause = f"--every {epochs:g} is not usable", "epochs are counted"
            raise UsageError(explain(fact, cause, "give whole numbers"))
        dropping = config.dropping.changed(strategy=name, drop_rate=rate, every=int(epochs))
        method = replace(config, dropping=dropping)
        method.check()
        arms.append(Arm(f"{name} {rate:g} every {int(epochs)}", method, "method"))
    arms += [Arm(name, method, "method") for name, method in (parse_arm(t, config) for t in more)]
    methods = [arm for arm in arms if arm.role == "method"]
    for arm in methods:
        _require_dropping(arm)
    _require_use(config, methods)
    names = [arm.name for arm in arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        cause = "a list names a value twice"
        raise UsageError(explain(f"{twice} comes twice", cause, "name it once"))
    return arms


def _require_dropping(arm: Arm) -> None:
    settings, epochs = arm.config.drop_settings(), arm.config.epochs
    if not settings.ever_drops:
        fact = f"--rates {arm.config.dropping.values()['drop_rate']:g} is not usable"
        raise UsageError(explain(fact, "it is plain training", "leave it out: it is run"))
    if not any(map(settings.is_drop_epoch, range(arm.config.epoch_count))):
        fact = f"--start {settings.schedule.pace[1]} leaves no drop epoch (arm {arm.name!r})"
        raise UsageError(explain(fact, f"there are {epochs}", "give a smaller one"))


def _require_use(config: TrainConfig, methods: Sequence[Arm]) -> None:
    """What was given for one strategy must not be for none that is tried."""
    used = {flag for arm in methods for flag in arm.config.dropping.given}
    for flag in config.dropping.given.keys() - used:
        fact = f"--{flag.replace('_', '-')} is not usable here"
        cause = f"it belongs to {', '.join(strategies_with(flag))}, and none is tried"
        raise UsageError(explain(fact, cause, "leave it out, or name such a strategy"))


@dataclass(frozen=True)
class Point:
    """One arm in the picture.

    Attributes:
        name: the arm's.
        kind: what it has in common with arms of other rates: strategy and schedule.
        rate: its drop rate; 0 for plain training.
        time: its training time over plain training's, means over seeds.
        accuracy: final, with its interval.
        over_plain: points above plain training's front at its time, paired by seed; None for the
            plain arms themselves.
        shown: whether it is shown to lie above that front, corrected for the number of settings.
        on_front: whether no other arm is as fast and as good, and better in one of them.
    """

    name: str
    kind: str
    rate: float
    time: float
    accuracy: Interval
    over_plain: Interval | None
    shown: bool
    on_front: bool


def points(record: Record) -> list[Point]:
    """Every arm of a sweep, the fastest first."""
    least = 100 / record.data["test"]
    measured = {name: record.measured(name) for name in record.names()}
    seconds = {name: fmean(found.seconds) for name, found in measured.items()}
    whole = seconds[PLAIN]
    settings = {arm["name"]: arm["settings"] for arm in record.arms}
    roles = {arm["name"]: arm["role"] for arm in record.arms}
    plain = record.front()
    over: dict[str, Interval] = {}
    for name in record.names("method"):
        # Outside of plain's times it is held against the nearest plain run.
        fronts = at_time(plain, seconds[name])
        pairs = zip(measured[name].accuracy, fronts, strict=True)
        over[name] = interval([mine - theirs for mine, theirs in pairs], least)
    chances = holm({name: chance(found, 0.0, "above") for name, found in over.items()})
    means = {name: fmean(found.accuracy) for name, found in measured.items()}
    return [
        Point(
            name,
            _kind(settings[name]),
            settings[name].get("drop_rate") or 0.0,
            seconds[name] / whole,
            interval(measured[name].accuracy, least),
            over.get(name),
            # What takes longer than plain training was held against too little of it.
            shown=name in over and chances[name] <= ERROR and seconds[name] <= whole,
            on_front=not any(
                seconds[other] <= seconds[name]
                and means[other] >= means[name]
                and (seconds[other], means[other]) != (seconds[name], means[name])
                for other in roles
            ),
        )
        for name in sorted(roles, key=seconds.__getitem__)
    ]


def _kind(settings: Mapping[str, Any]) -> str:
    ramp = "" if settings.get("ramp", "constant") == "constant" else f", {settings['ramp']}"
    return f"{settings['strategy']}, every {settings['every']}{ramp}"


COLUMNS = (
    "arm",
    "n",
    "time, of plain's",
    "final accuracy, %",
    "over plain's front, points",
    "Pareto front",
)


def sweep_rows(record: Record) -> list[list[str]]:
    """A row of `COLUMNS` for each arm, the fastest first."""
    return [
        [
            point.name,
            str(point.accuracy.n),
            f"{point.time:.3f}",
            point.accuracy.as_text(".2f"),
            "" if point.over_plain is None else point.over_plain.as_text("+.2f"),
            "yes" if point.on_front else "",
        ]
        for point in points(record)
    ]


def sweep_lines(record: Record) -> list[str]:
    """What the sweep shows, in sentences."""
    found = points(record)
    tried = record.names("method")
    n = len(record.finished_seeds())
    lines = [
        f"{point.name}: above plain training's front by {point.over_plain.as_text('+.2f')} points "
        f"in {point.time:.2f} of plain's time"
        for point in found
        if point.shown and point.over_plain is not None
    ]
    if not lines:
        lines.append(
            f"no gain shown: none of the {len(tried)} settings is shown to lie above plain "
            "training's own front (plain runs of 1, 3/4 and 1/2 of the epochs)"
        )
    lines += [f"{name} is left out: {why}" for name, why in record.left_out.items()]
    lines.append(
        f"n = {n} seed{'s' if n != 1 else ''}; 95 % t intervals over seeds, paired, Holm over "
        f"{len(tried)} settings. Accuracies are on {record.data['test']:,} training images held "
        "out: a sweep chooses, and ldb compare, with other seeds and the test images, confirms."
    )
    return lines
