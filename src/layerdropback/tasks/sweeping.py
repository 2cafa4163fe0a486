"""The arms of ``ldb sweep``: every strategy with every rate, and shorter plain runs."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from ..errors import UsageError, explain
from ..lab.arms import PLAIN, SHORTER, Arm
from ..training.config import TrainConfig
from ..training.dropping import strategies_with
from .arms import arm_of, parse_arm, plain_of


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
        >>> [(arm.name, arm.epochs) for arm in arms[:3]]
        [('plain', 8), ('plain 0.75', 6), ('plain 0.5', 4)]
        >>> [arm.name for arm in arms[3:]]
        ['truncate 0.5 every 1', 'truncate 0.5 every 2']
    """
    steps = config.dropping.given.get("period_steps")
    if steps is not None:
        fact = f"--period-steps {steps} is not usable in a sweep"
        cause = "its --every counts epochs"
        raise UsageError(explain(fact, cause, "leave it out"))
    plain = plain_of(config)
    arms = [arm_of(PLAIN, plain, "plain")]
    for share in SHORTER:
        warmup = share * plain.warmup_epochs
        shorter = replace(plain, epochs=share * plain.epochs, warmup_epochs=warmup)
        arms.append(arm_of(f"{PLAIN} {share:g}", shorter, "shorter"))
    chosen = strategies or strategies_with("drop_rate")
    for name, rate, epochs in itertools.product(chosen, rates, every):
        if not float(epochs).is_integer():
            fact, cause = f"--every {epochs:g} is not usable", "epochs are counted"
            raise UsageError(explain(fact, cause, "give whole numbers"))
        dropping = config.dropping.changed(strategy=name, drop_rate=rate, every=int(epochs))
        method = replace(config, dropping=dropping)
        method.check()
        arms.append(arm_of(f"{name} {rate:g} every {int(epochs)}", method))
    arms += [arm_of(*parse_arm(text, config)) for text in more]
    methods = [arm for arm in arms if arm.role == "method"]
    if not methods:
        fact, cause = "there is no way to drop to look at", "neither --rates nor --arm names one"
        raise UsageError(explain(fact, cause, "give drop rates, or an --arm"))
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
    settings, epochs = arm.way.drop_settings(), arm.epochs
    if not settings.ever_drops:
        fact = f"--rates {arm.way.dropping.values()['drop_rate']:g} is not usable"
        raise UsageError(explain(fact, "it is plain training", "leave it out: it is run"))
    if not any(map(settings.is_drop_epoch, range(arm.way.epoch_count))):
        fact = f"--start {settings.schedule.pace[1]} leaves no drop epoch (arm {arm.name!r})"
        raise UsageError(explain(fact, f"there are {epochs}", "give a smaller one"))


def _require_use(config: TrainConfig, methods: Sequence[Arm]) -> None:
    """What was given for one strategy must not be for none that is tried."""
    used = {flag for arm in methods for flag in arm.way.dropping.given}
    for flag in config.dropping.given.keys() - used:
        fact = f"--{flag.replace('_', '-')} is not usable here"
        cause = f"it belongs to {', '.join(strategies_with(flag))}, and none is tried"
        raise UsageError(explain(fact, cause, "leave it out, or name such a strategy"))
