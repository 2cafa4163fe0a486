"""Which layers a step drops: functions of the seed, the step and what is known of the model."""

from ..errors import AttachError, explain
from .base import Strategy
from .blocks import Blocks
from .branch import Branch
from .control import Control
from .truncate import Truncate
from .uniform import Uniform

__all__ = ["Blocks", "Branch", "Control", "Strategy", "Truncate", "Uniform"]

# By the names that strings, flags and settings files give them.
STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind for kind in (Uniform, Truncate, Branch, Blocks, Control)
}


def strategy_of(given: Strategy | str) -> Strategy:
    """A strategy, or the one of a name with its defaults."""
    if isinstance(given, Strategy):
        return given
    if isinstance(given, str) and given in STRATEGIES:
        return STRATEGIES[given]()
    fact = f"strategy={given!r} is not usable"
    cause = "there is no such strategy"
    cure = f"give one of {', '.join(STRATEGIES)}, or an object such as Uniform(rate=0.5)"
    raise AttachError([explain(fact, cause, cure)])
