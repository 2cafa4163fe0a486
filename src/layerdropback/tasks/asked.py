"""``--task``, ``--task-arg`` and ``--arm``, read before anything heavy is imported."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError, explain
from ..option import is_number
from ..runs.reasons import reason
from .keys import name_and_values
from .sentence_settings import SentenceSettings

SENTENCES = "sentences"


@dataclass(frozen=True)
class Asked:
    """A task that is no image classification, and what it is asked for.

    Attributes:
        task: ``"sentences"``, or ``MODULE:FUNCTION``.
        arguments: of the task's function.
        ways: keys and values of each further way, by its name.
    """

    task: str
    arguments: Mapping[str, Any]
    ways: Mapping[str, Mapping[str, Any]]

    @property
    def place(self) -> tuple[str, str]:
        """The module and the function of a task of the user's own."""
        module, _, name = self.task.partition(":")
        return module, name


def read_study(task: str, arguments: Sequence[str], arms: Sequence[str]) -> Asked:
    """Read what the command line names, as far as that needs no task.

    Args:
        task: as `Asked` has it.
        arguments: ``KEY=VALUE`` each, for the function.
        arms: further ways, ``NAME:KEY=VALUE,...``, which the task's ``way`` understands; ``lr`` and
            ``epochs`` may be among them.

    Raises:
        UsageError: it cannot be read, or cannot be used whatever the task is.

    Example:
        >>> read_study("mine:study", ["size=3"], ["half: rate=0.5"]).ways
        {'half': {'rate': 0.5}}
    """
    module, colon, name = task.partition(":")
    if task != SENTENCES and (not colon or not module or not name or module.startswith(".")):
        cause = f"it is {SENTENCES}, or MODULE:FUNCTION of your own"
        raise UsageError(explain(f"--task {task} is unknown", cause, "give one of these"))
    values = _arguments(arguments)
    if task == SENTENCES:
        require_fitting(SentenceSettings, task, values)
        SentenceSettings(**values)
    ways: dict[str, Mapping[str, Any]] = {}
    for text in arms:
        name, keys = name_and_values(text, f"--arm {text!r}")
        require_new(name, ways)
        _require_length_and_rate(name, keys)
        ways[name] = keys
    return Asked(task, values, ways)


def _arguments(texts: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        more = name_and_values(text, f"--task-arg {text!r}")[1]
        twice = next(iter(values.keys() & more.keys()), None)
        if twice is not None:
            fact = f"--task-arg {text!r} is not usable"
            raise UsageError(explain(fact, f"{twice} is given twice", "give it once"))
        values |= more
    return values


def require_fitting(function: Callable[..., Any], task: str, values: Mapping[str, Any]) -> None:
    """Refuse arguments that a task's function does not take."""
    try:
        inspect.signature(function).bind(**values)
    except TypeError as error:
        fact = f"--task {task} cannot be made"
        raise UsageError(explain(fact, reason(error), "correct --task-arg KEY=VALUE")) from None


def require_new(name: str, ways: Mapping[str, Any]) -> None:
    """Refuse a second arm of one name."""
    if name in ways:
        fact, cause = f"two arms are called {name!r}", "the tables would not tell them apart"
        raise UsageError(explain(fact, cause, "give another NAME: before one's settings"))


def _require_length_and_rate(name: str, keys: Mapping[str, Any]) -> None:
    """They are the lab's, whatever the task."""
    for key, most in (("epochs", 2**31), ("lr", 1e30)):
        value = keys.get(key, 1)
        if not (is_number(value) and 0 < value <= most):
            fact = f"--arm {name!r} sets {key} to {value!r}"
            cause = f"a number above 0, up to {most:g}, is needed"
            raise UsageError(explain(fact, cause, "give one"))
