"""``ldb compare --task`` and ``ldb sweep --task``: tasks by name, and the user's own."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import LayerDropBackError, UsageError, explain
from ..lab.arms import Arm
from ..lab.comparison import compare
from ..lab.record import Record
from ..lab.task import Task
from ..option import is_number
from ..runs.reasons import reason
from .keys import name_and_values
from .sentences import SentenceSettings, SentenceTask

Study = tuple[Task, Mapping[str, Any]]

SENTENCES = "sentences"


def compare_study(spec: str, arguments: Sequence[str], arms: Sequence[str], **more: Any) -> Record:
    """Compare, or sweep, the arms of a task that is no image classification.

    Args:
        spec: ``"sentences"``, or ``MODULE:FUNCTION`` of the user's own, which returns a task and
            its ways by name, plain training first; modules are looked for in the working folder,
            too.
        arguments: ``KEY=VALUE`` each, for the function.
        arms: further ways, ``NAME:KEY=VALUE,...``, which the task's ``way`` understands; ``lr`` and
            ``epochs`` may be among them.
        **more: see `compare`.

    Raises:
        UsageError: there is no such task, or its arguments or arms cannot be used.
    """
    values: dict[str, Any] = {}
    for text in arguments:
        more_values = name_and_values(text, f"--task-arg {text!r}")[1]
        twice = next(iter(values.keys() & more_values.keys()), None)
        if twice is not None:
            fact = f"--task-arg {text!r} is not usable"
            raise UsageError(explain(fact, f"{twice} is given twice", "give it once"))
        values |= more_values
    with _working_folder():
        make = _sentences if spec == SENTENCES else _function(spec)
        task, given = _made(make, spec, values)
        ways = dict(given)
        for text in arms:
            name, keys = name_and_values(text, f"--arm {text!r}")
            if name in ways:
                fact, cause = (
                    f"two arms are called {name!r}",
                    "the tables would not tell them apart",
                )
                raise UsageError(explain(fact, cause, "give another NAME: before one's settings"))
            ways[name] = _arm(task, name, keys)
        return compare(task, ways, **more)


@contextmanager
def _working_folder() -> Iterator[None]:
    """While its modules are found: a task may import others when it runs."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _sentences(**values: Any) -> Study:
    return SentenceTask.load(SentenceSettings(**values)), {"plain": None}


def _function(spec: str) -> Callable[..., Study]:
    """The user's function."""
    module, colon, name = spec.partition(":")
    if not colon or not module or not name or module.startswith("."):
        cause = f"it is {SENTENCES}, or MODULE:FUNCTION of your own"
        raise UsageError(explain(f"--task {spec} is unknown", cause, "give one of these"))
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        cure = "name a module that Python finds from this folder"
        raise UsageError(explain(f"--task {spec} cannot be used", reason(error), cure)) from None
    except (Exception, SystemExit) as error:  # the user's own module may do anything
        cause = f"importing {module} fails: {_told(error)}"
        cure = "correct the module"
        raise UsageError(explain(f"--task {spec} cannot be used", cause, cure)) from error
    function = getattr(found, name, None)
    if not callable(function):
        fact, cause = f"--task {spec} cannot be used", f"{module} has no function {name!r}"
        raise UsageError(explain(fact, cause, "name one that returns a task and its ways"))
    made: Callable[..., Study] = function
    return made


def _made(make: Callable[..., Study], spec: str, values: Mapping[str, Any]) -> Study:
    taken = SentenceSettings if make is _sentences else make
    try:
        inspect.signature(taken).bind(**values)
    except TypeError as error:
        fact = f"--task {spec} cannot be made"
        raise UsageError(explain(fact, reason(error), "correct --task-arg KEY=VALUE")) from None
    try:
        found = make(**values)
    except LayerDropBackError:
        raise
    except (Exception, SystemExit) as error:
        if make is _sentences:
            raise
        fact, cure = f"--task {spec} cannot be made", "correct the function, or its --task-arg"
        raise UsageError(explain(fact, _told(error), cure)) from error
    pair = isinstance(found, tuple) and len(found) == 2
    if not (pair and isinstance(found[0], Task) and isinstance(found[1], Mapping)):
        kinds = [type(part).__name__ for part in found] if pair else [type(found).__name__]
        cause = f"it returns {' and '.join(kinds)}"
        cure = "return a layerdropback.lab.Task and a mapping of names to its ways"
        raise UsageError(explain(f"--task {spec} cannot be used", cause, cure))
    return found


def _told(error: BaseException) -> str:
    """What the user's own code has raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f" ({Path(last.filename).name}, line {last.lineno})"
    where = "" if isinstance(error, SyntaxError) else where  # its own text has it
    return f"{type(error).__name__}: {reason(error)}{where}"


def _arm(task: Task, name: str, keys: dict[str, Any]) -> Arm:
    """An arm of the command line; its length and learning rate are the lab's, not the task's."""
    own = {key: keys.pop(key) for key in ("epochs", "lr") if key in keys}
    for key, value in own.items():
        most = 2**31 if key == "epochs" else 1e30
        if not (is_number(value) and 0 < value <= most):
            fact = f"--arm {name!r} sets {key} to {value!r}"
            raise UsageError(
                explain(fact, f"a number above 0, up to {most:g}, is needed", "give one")
            )
    way = task.way(keys) if keys else None
    return Arm(name, way, own.get("epochs", task.epochs), own.get("lr", task.lr))
