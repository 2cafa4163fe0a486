"""Which ways to drop a profile tries, and how tables name them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ...strategies import STRATEGIES
from ...strategies.base import Strategy

RATES = (0.25, 0.5, 0.75)


def rate_of(strategy: Strategy) -> float | None:
    """Its drop rate, whatever the strategy calls it; None where it has none.

    Example:
        >>> from layerdropback import Truncate
        >>> rate_of(Truncate(0.3))
        0.3
    """
    name = _rate_name(type(strategy))
    return None if name is None else float(getattr(strategy, name))


def _rate_name(kind: type[Strategy]) -> str | None:
    found = (entry.name for entry in fields(kind) if entry.metadata.get("flag") == "drop_rate")
    return next(found, None)


# All that drop anything.
PROFILED = tuple(name for name, kind in STRATEGIES.items() if _rate_name(kind) is not None)


def tried(
    names: Sequence[str] = PROFILED, rates: Sequence[float] = RATES, **more: Any
) -> list[Strategy]:
    """Every strategy with every rate.

    Cuts lie at many depths, so that the table of depths has them; on average they save the same.

    Args:
        names: of strategies.
        rates: drop rates.
        **more: arguments that all of them have.

    Raises:
        AttachError: a value makes no sense.

    Example:
        >>> [label(strategy) for strategy in tried(["uniform"], [0.25, 0.5], unit="block")]
        ['uniform 0.25 (block)', 'uniform 0.5 (block)']
    """
    found = []
    for name in names:
        kind: Any = STRATEGIES[name]
        spread = {"depth": "uniform"} if any(f.name == "depth" for f in fields(kind)) else {}
        found += [kind(**spread, **more, **{str(_rate_name(kind)): rate}) for rate in rates]
    return found


def label(strategy: Strategy) -> str:
    """A strategy in a table.

    Example:
        >>> from layerdropback import Uniform
        >>> label(Uniform()), label(Uniform(unit="block"))
        ('uniform 0.5', 'uniform 0.5 (block)')
    """
    rate, unit = rate_of(strategy), strategy.unit
    text = strategy.name if rate is None else f"{strategy.name} {rate:g}"
    return text if unit == "layer" else f"{text} ({unit})"


def as_setting(strategy: Strategy) -> dict[str, Any]:
    """A strategy in a record, by the names of the command line.

    Example:
        >>> from layerdropback import Branch
        >>> as_setting(Branch())
        {'strategy': 'branch', 'unit': 'layer', 'drop_rate': 0.3, 'keep': []}
    """
    rate, keep = rate_of(strategy), list(strategy.keep)
    return {"strategy": strategy.name, "unit": strategy.unit, "drop_rate": rate, "keep": keep}
