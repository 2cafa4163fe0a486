"""The arms of a comparison: plain training, methods, and the controls of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, explain

if TYPE_CHECKING:
    from .task import Task

PLAIN = "plain"

# Parts of its epochs after which plain training is run to its end, too, in a sweep.
SHORTER = (0.75, 0.5)


@dataclass(frozen=True)
class Arm:
    """One way to train, to be run with every seed.

    Attributes:
        name: for tables, plots and files; no two are alike.
        way: what it does, for the task to understand.
        epochs: the length of its runs.
        lr: its peak learning rate; None where the task has none.
        role: ``"plain"``, ``"method"``, ``"no-drop"`` (a method's learning-rate and batch changes
            with nothing dropped), ``"same time"`` (plain training, given a method's time) or
            ``"shorter"`` (plain training of fewer epochs).
        of: the method whose control it is.
    """

    name: str
    way: Any
    epochs: float
    lr: float | None
    role: str = "method"
    of: str | None = None

    def says(self, task: Task) -> str:
        """What it is, in words."""
        return {
            "plain": "plain training",
            "method": task.says(self.way),
            "no-drop": f"the LR and batch changes of {self.of}, nothing dropped",
            "same time": f"plain training, given the time of {self.of}",
            "shorter": "plain training",
        }[self.role]

    def as_dict(self, task: Task) -> dict[str, Any]:
        """The arm as a record has it."""
        settings = task.settings(self.way, self.epochs, self.lr)
        own = {"name": self.name, "role": self.role, "of": self.of, "says": self.says(task)}
        return own | {"settings": settings}


def arms_of(task: Task, ways: Mapping[str, Any]) -> list[Arm]:
    """Arms from ways by name, the first one being plain training.

    Args:
        task: has the length and the learning rate.
        ways: a way for the task, or an `Arm` of another length or learning rate.

    Raises:
        UsageError: there are fewer than two, or a name is no text.

    Example:
        >>> from types import SimpleNamespace
        >>> task = SimpleNamespace(epochs=2, lr=0.1)
        >>> [arm.name for arm in arms_of(task, {"plain": None, "half": "a strategy"})]
        ['plain', 'half']
    """
    found = [
        replace(way, name=name, role="method")
        if isinstance(way, Arm)
        else Arm(name, way, task.epochs, task.lr)
        for name, way in ways.items()
    ]
    wrong = next((name for name in ways if not isinstance(name, str)), None)
    if wrong is not None:
        fact, cause = f"an arm is called {wrong!r}", "tables name arms by texts"
        raise UsageError(explain(fact, cause, "give it a name"))
    if len(found) < 2:
        cause = f"there {'is one arm' if found else 'is no arm'}"
        cure = "give two: plain training first, then a method"
        raise UsageError(explain("nothing can be compared", cause, cure))
    return [replace(found[0], role="plain"), *found[1:]]


def with_equal_time(arms: Sequence[Arm]) -> list[Arm]:
    """The arms and, for each method, plain training that is given its time.

    Those still have all of plain training's epochs: a pilot finds how many they get.

    Raises:
        UsageError: two arms have one name.
    """
    plain = next(arm for arm in arms if arm.role == "plain")
    methods = [arm.name for arm in arms if arm.role == "method"]
    made = [
        replace(plain, name=f"{plain.name}@{name}", role="same time", of=name) for name in methods
    ]
    require_other_names([*arms, *made])
    return [*arms, *made]


def with_shorter(arms: Sequence[Arm]) -> list[Arm]:
    """The arms, the first one being plain training, and plain training of fewer epochs.

    Raises:
        UsageError: two arms have one name.

    Example:
        >>> arms = with_shorter([Arm("plain", None, 8, 0.1, "plain"), Arm("half", "x", 8, 0.1)])
        >>> [(arm.name, arm.epochs) for arm in arms]
        [('plain', 8), ('plain 0.75', 6.0), ('plain 0.5', 4.0), ('half', 8)]
    """
    plain, *methods = arms
    shorter = [
        replace(plain, name=f"{plain.name} {share:g}", epochs=share * plain.epochs, role="shorter")
        for share in SHORTER
    ]
    require_other_names([plain, *shorter, *methods])
    return [plain, *shorter, *methods]


def require_other_names(arms: Iterable[Arm]) -> None:
    """Make sure that tables can name every arm.

    Raises:
        UsageError: two have one name.
    """
    for name, count in Counter(arm.name for arm in arms).items():
        if count > 1:
            cause = "the tables would not tell them apart"
            cure = "give another NAME: before one's settings"
            raise UsageError(explain(f"two arms are called {name!r}", cause, cure))
