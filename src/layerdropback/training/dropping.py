"""LayerDropBack's own settings, flat: flags and keys made from the dataclasses that hold them.

A default, a text and a check stand in one place, the strategy's file, `Schedule` or `Settings`. So
a new strategy has its flags without a line here.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import AttachError, UsageError, explain
from ..option import require, unknown
from ..schedule import Schedule
from ..settings import Settings
from ..strategies import STRATEGIES
from ..strategies.base import Strategy
from .flag import Flag, flagged

DEFAULT = Settings().strategy.name


def _by_flag(kind: type) -> dict[str, str]:
    """The names of a dataclass's fields by their flags."""
    return {flag: entry.name for flag, entry, _ in flagged(kind)}


_STRATEGIES = {name: _by_flag(kind) for name, kind in STRATEGIES.items()}
_SCHEDULE, _OTHERS = _by_flag(Schedule), _by_flag(Settings)


def strategies_with(flag: str) -> tuple[str, ...]:
    """The strategies that have a setting.

    Example:
        >>> strategies_with("drop_rate"), strategies_with("depth")
        (('uniform', 'truncate', 'branch'), ('truncate',))
    """
    return tuple(name for name, own in _STRATEGIES.items() if flag in own)


def _made() -> dict[str, Flag]:
    """Every flag, the strategies' first."""
    names = list(dict.fromkeys(flag for own in _STRATEGIES.values() for flag in own))
    shared = {flag for flag in names if len(strategies_with(flag)) == len(STRATEGIES)}
    text = "How layers are drawn"
    found = {"strategy": Flag(text, tuple(STRATEGIES), DEFAULT, str, "Dropping")}
    found |= {flag: _merged(flag) for flag in names if flag not in shared}
    for kind in (STRATEGIES[DEFAULT], Schedule, Settings):
        for flag, entry, hint in flagged(kind):
            if flag not in found:
                found[flag] = _merged(flag) if flag in shared else Flag.of(entry, hint)
    return found


def _merged(flag: str) -> Flag:
    """A setting that only some strategies have, and each with a text and a default of its own."""
    owners = strategies_with(flag)
    own = [
        Flag.of(entry, hint)
        for name in owners
        for mine, entry, hint in flagged(STRATEGIES[name])
        if mine == flag
    ]
    text, default = own[0].text, own[0].default
    if len(owners) == 1:
        text = f"For {owners[0]}, {text[0].lower()}{text[1:]}"
    texts, defaults = [text.rstrip(".")], [str(default)]
    for name, other in zip(owners[1:], own[1:], strict=True):
        if other.text != text:
            texts.append(f"{name}: {other.text[0].lower()}{other.text[1:].rstrip('.')}")
        if other.default != default:
            defaults.append(f"{name} {other.default}")
    if len(texts) > 1:
        text = "; ".join(texts) + "."
    shown = default if len(defaults) == 1 else "; ".join(defaults)
    return Flag(text, own[0].choices, shown, own[0].kind | None, own[0].group)


FLAGS: Mapping[str, Flag] = MappingProxyType(_made())


class Dropping:
    """LayerDropBack's settings, as far as they were given, by the names of their flags.

    Two are equal if they come to the same settings. What was not given has the default of the
    dataclass that it belongs to, and so that of the strategy.

    Args:
        **given: `FLAGS` by name; None is as good as not given.

    Attributes:
        given: what is not None of them.

    Example:
        >>> Dropping(strategy="truncate", drop_rate=0.3).settings().strategy.share
        0.3
        >>> Dropping(drop_rate=0.5) == Dropping()
        True
    """

    def __init__(self, **given: Any):
        wrong = given.keys() - FLAGS.keys()
        if wrong:
            raise TypeError(f"no such settings: {', '.join(sorted(wrong))}")
        found = {flag: value for flag, value in given.items() if value is not None}
        self.given: Mapping[str, Any] = found

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return str(self.given.get("strategy", DEFAULT))

    def changed(self, **changes: Any) -> "Dropping":
        """The same with changes, see `over`.

        Example:
            >>> Dropping(strategy="truncate", depth="power").changed(strategy="branch")
            Dropping(strategy='branch')
        """
        return Dropping(**over(self.given, changes))

    def values(self) -> dict[str, Any]:
        """Every setting with the value that it comes to; None where the strategy has none such.

        Example:
            >>> Dropping(strategy="branch").values()["drop_rate"]
            0.3
        """
        kinds: list[type] = [Schedule, Settings]
        kinds += [STRATEGIES[self.strategy]] if self.strategy in STRATEGIES else []
        defaults = {flag: entry.default for kind in kinds for flag, entry, _ in flagged(kind)}
        known = {"strategy": self.strategy} | defaults | dict(self.given)
        if self.strategy in STRATEGIES:
            known |= self._pace(STRATEGIES[self.strategy])
        return {flag: known.get(flag) for flag in FLAGS}

    def _pace(self, kind: type[Strategy]) -> dict[str, Any]:
        """What of the schedule is the strategy's own, see `Schedule.with_pace`."""
        names = ("every", "start", "period_steps")
        own = dict(zip(names, kind.pace, strict=True))
        if any(name in self.given for name in names):
            own["period_steps"] = None
        return own | {name: self.given[name] for name in names if name in self.given}

    def settings(self, length: float | None = None, seed: int = 0) -> Settings:
        """The same for the library, looked at.

        Args:
            length: of the run, see `Schedule`.
            seed: of the masks.

        Raises:
            UsageError: a value makes no sense, or does not belong to the strategy; the text names
                the flag.

        Example:
            >>> Dropping(depth="power").settings()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --depth is not usable with --strategy uniform. Cause: \
it belongs to truncate. Cure: leave it out, or give another --strategy.
        """
        try:
            require(unknown(tuple(STRATEGIES), "strategy", self.strategy), "strategy")
            self._require_fitting()
            return Settings(
                self._strategy(),
                Schedule(**self._of(_SCHEDULE), length=length),
                seed=seed,
                **self._of(_OTHERS),
            )
        except AttachError as error:
            raise UsageError(as_flags(error.problems[0])) from None

    def _strategy(self) -> Strategy:
        return STRATEGIES[self.strategy](**self._of(_STRATEGIES[self.strategy]))

    def _of(self, names: Mapping[str, str]) -> dict[str, Any]:
        """What was given, for a dataclass with such flags, by the names of its fields."""
        return {name: self.given[flag] for flag, name in names.items() if flag in self.given}

    def _require_fitting(self) -> None:
        for flag in self.given:
            if not _fits(flag, self.strategy):
                fact = f"{_dashed(flag)} is not usable with --strategy {self.strategy}"
                *others, last = strategies_with(flag)
                owners = f"{', '.join(others)} and {last}" if others else last
                cure = "leave it out, or give another --strategy"
                raise UsageError(explain(fact, f"it belongs to {owners}", cure))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dropping) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(tuple(self.values().items()))

    def __repr__(self) -> str:
        return f"Dropping({', '.join(f'{flag}={value!r}' for flag, value in self.given.items())})"


def over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others before them.

    Where `upper` names a strategy, what that one does not have is left out of `lower`: a recipe's
    drop rate is none of the control's.

    Args:
        lower: by name, those of the trainer among them, perhaps.
        upper: the same; they win.

    Example:
        >>> over({"strategy": "truncate", "depth": "power", "lr": 0.1}, {"strategy": "branch"})
        {'strategy': 'branch', 'lr': 0.1}
    """
    strategy = upper.get("strategy")
    if strategy in STRATEGIES:
        lower = {name: value for name, value in lower.items() if _fits(name, strategy)}
    return {**lower, **upper}


def flat(settings: Settings) -> dict[str, Any]:
    """Settings of the library by the names of their flags; the inverse of `Dropping.settings`.

    Example:
        >>> from layerdropback import PRESETS
        >>> flat(PRESETS["paper-scratch"])["drop_rate"]
        0.5
    """
    strategy, schedule = settings.strategy, settings.schedule
    found = {"strategy": strategy.name}
    for holder, names in (
        (strategy, _STRATEGIES[strategy.name]),
        (schedule, _SCHEDULE),
        (settings, _OTHERS),
    ):
        found |= {flag: getattr(holder, name) for flag, name in names.items()}
    return {flag: value for flag, value in found.items() if value is not None}


def as_flags(problem: str) -> str:
    """Name the flags of the command line where a library error names arguments.

    What is quoted stays: the user has written it.

    Example:
        >>> as_flags("rate=2 is not usable. Cure: set lr_scale=1")
        '--drop-rate 2 is not usable. Cure: set --lr-scale 1'
        >>> as_flags("--arm 'a: keep=[b]' sets keep=c")
        "--arm 'a: keep=[b]' sets --keep c"
    """

    def dashed(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else f"{_dashed(_FLAG_OF[match[1]])} "

    return _ARGUMENT.sub(dashed, problem)


_FLAG_OF = {flag: flag for flag in (*FLAGS, "seed")} | {
    name: flag
    for names in (*_STRATEGIES.values(), _SCHEDULE, _OTHERS)
    for flag, name in names.items()
}
_ARGUMENT = re.compile(rf"(?<!\w)'[^']*'|\b({'|'.join(_FLAG_OF)})= ?")


def _fits(flag: str, strategy: str) -> bool:
    """Whether a strategy can go with a setting: it has it, or none has, as it is not theirs."""
    owners = strategies_with(flag)
    return not owners or strategy in owners


def _dashed(flag: str) -> str:
    return f"--{flag.replace('_', '-')}"
