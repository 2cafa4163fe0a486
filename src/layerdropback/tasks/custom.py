"""``ldb compare --task`` and ``ldb sweep --task``: tasks by name, and the user's own."""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import LayerDropBackError, UsageError, explain
from ..lab.arms import Arm
from ..lab.comparison import compare
from ..lab.record import Record
from ..lab.task import Task
from ..runs.reasons import reason
from .asked import SENTENCES, Asked, require_fitting, require_new
from .sentence_settings import SentenceSettings
from .sentences import SentenceTask

Study = tuple[Task, Mapping[str, Any]]


def compare_study(asked: Asked, **more: Any) -> Record:
    """Compare, or sweep, the arms of a task that is no image classification.

    Args:
        asked: a function of the user's own returns a task and its ways by name, plain training
            first; modules are looked for in the working folder, too.
        **more: see `compare`.

    Raises:
        UsageError: there is no such task, or its arguments or arms cannot be used.
    """
    with _working_folder():
        make = _sentences if asked.task == SENTENCES else _function(asked)
        task, given = _made(make, asked)
        ways = dict(given)
        for name, keys in asked.ways.items():
            require_new(name, ways)
            ways[name] = _arm(task, name, dict(keys))
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


def _function(asked: Asked) -> Callable[..., Study]:
    """The user's function."""
    spec, (module, name) = asked.task, asked.place
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


def _made(make: Callable[..., Study], asked: Asked) -> Study:
    spec = asked.task
    if make is not _sentences:
        require_fitting(make, spec, asked.arguments)
    try:
        found = make(**asked.arguments)
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
    way = task.way(keys) if keys else None
    return Arm(name, way, own.get("epochs", task.epochs), own.get("lr", task.lr))
