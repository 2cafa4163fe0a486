"""What a callback was given: a preset, and what goes before it."""

from collections.abc import Mapping
from typing import Any

from ..errors import AttachError, StateError, explain
from ..presets import changed
from ..schedule import Schedule
from ..settings import Settings
from ..strategies import Strategy, strategy_of


def chosen(preset: str, strategy: Strategy | str | None, **changes: Any) -> Settings:
    """The settings of a preset, but for what is given; what is None is not.

    Raises:
        AttachError: a value makes no sense; at once, and not when the training begins.

    Example:
        >>> chosen("finetune", "uniform", seed=3, schedule=None).schedule.every
        1
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if strategy is not None:
        given["strategy"] = strategy
    return changed(preset, **given)


def from_state(state: Mapping[str, Any]) -> Settings:
    """The inverse of `Settings.to_state`.

    Raises:
        AttachError: a value makes no sense.
        StateError: they are no settings.

    Example:
        >>> settings = chosen("finetune", "uniform", seed=3)
        >>> from_state(settings.to_state()) == settings
        True
    """
    try:
        fields = dict(state["strategy"])
        kind = type(strategy_of(fields.pop("name", "")))
        own = {"strategy": kind(**fields), "schedule": Schedule(**state["schedule"])}
        return Settings(**{**state, **own})
    except AttachError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        fact = "the saved settings of LayerDropBack cannot be used"
        cause = f"they were cut or changed ({' '.join(str(error).split())})"
        raise StateError(explain(fact, cause, "load an intact checkpoint")) from None
