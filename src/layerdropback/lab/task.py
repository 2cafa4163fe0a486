"""What the lab compares: a task makes runs, and a run trains step by step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from ..option import is_count, is_number
from ..schedule import Schedule
from ..strategies.base import Strategy

# What a run saves by itself, where it has it.
PARTS = ("model", "optimizer", "scheduler", "ldb")

Steps = Generator[Tensor | float, None, None]


class Run(ABC):
    """One training run, which the lab drives step by step, tests, saves and loads.

    The lab measures its time, each step's on the wall clock with the device synchronised around an
    epoch; what happens between two steps is not counted. Global random generators are seeded before
    the run is made, and are the run's own while it has its turn.

    Attributes:
        model: the network; its device is the run's, and what its forward pass saves is counted.
        ldb: the LayerDropBack that is attached, or None: it says which epochs drop.
        optimizer: what moves the weights: gradients and states are counted; None: they are not.
        mid_epoch: whether `state_dict` may be called between any two steps; False: only between
            epochs, and a comparison that is stopped goes on from there.
    """

    model: nn.Module
    ldb: LayerDropBack | None = None
    optimizer: Any = None
    mid_epoch: bool = False

    @abstractmethod
    def steps_in(self, epoch: int) -> int:
        """Optimizer steps of an epoch, counted from 0; of the last one perhaps a part."""

    @abstractmethod
    def train(self, epoch: int, done: int = 0) -> Steps:
        """Train for an epoch: one optimizer step for each value of the generator.

        Args:
            epoch: counted from 0; one that was left before its end may begin anew.
            done: steps of it that were made already, before this or another process stopped; above
                0 only where `mid_epoch` is true.

        Yields:
            The step's training loss, a number or a tensor that nothing has waited for.
        """

    @abstractmethod
    def test(self) -> Mapping[str, Any]:
        """Test; called after each epoch, or the last alone while rates are tuned; not timed.

        Returns:
            ``test_accuracy``, in percent, or whatever else the task measures, higher being better;
            ``test_loss``; and what shall stand beside them in the record, by name.
        """

    def mode(self, epoch: int) -> str:
        """``"full"``, ``"drop"``, or ``"mixed"`` where periods of steps decide.

        Epochs of one mode take the same time for each step.
        """
        if self.ldb is None or not self.ldb.settings.ever_drops:
            return "full"
        if self.ldb.settings.schedule.steps is not None:
            return "mixed"
        return "drop" if self.ldb.settings.is_drop_epoch(epoch) else "full"

    def state_dict(self) -> dict[str, Any]:
        """All that decides how it goes on: of `PARTS` those that the run has."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def close(self) -> None:  # noqa: B027 - most runs have nothing to end
        """End what runs beside it, such as processes of a loader."""

    def _parts(self) -> dict[str, Any]:
        found = {name: getattr(self, name, None) for name in PARTS}
        return {name: part for name, part in found.items() if part is not None}


class Task(ABC):
    """What is to be learnt, and how well it was.

    Attributes:
        name: for tables.
        unit: of what is trained on: images, sentences.
        train: how many of them are trained on.
        test: how many are tested on; an accuracy is not believed finer than one of them.
        epochs: of a run, where an arm says nothing else.
        lr: the learning rate, where an arm says nothing else; None: there is no rate to tune.
        device: where runs train.

    Example:
        See docs/compare.md, whose example is run by a test.
    """

    name: str
    unit: str = "samples"
    train: int
    test: int
    epochs: float = 1
    lr: float | None = None
    device: torch.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @abstractmethod
    def start(self, way: Any, seed: int, epochs: float, lr: float | None) -> Run:
        """Make a run.

        Args:
            way: what an arm does differently: a strategy, a word, whatever the task understands.
            seed: of weights, order and masks.
            epochs: its length; the learning rate's schedule is to end there. The last may be a part
                of one.
            lr: the peak learning rate.
        """

    def held_out(self) -> "Task":
        """The same task with some training samples in the test's place, to choose settings on.

        Raises:
            UsageError: it cannot be had.
        """
        fact = f"the learning rates of {self.name} cannot be tuned"
        cause = "the task has no held_out()"
        raise UsageError(explain(fact, cause, "add it, or leave the grid out"))

    def way(self, values: Mapping[str, Any]) -> Any:
        """What ``--arm "NAME: KEY=VALUE,..."`` means.

        Args:
            values: by key; ``lr`` and ``epochs`` are taken out before.

        Raises:
            UsageError: the task knows no such settings.
        """
        fact = f"--arm is not usable with the task {self.name}"
        raise UsageError(explain(fact, "it has no way()", "give its arms in Python"))

    def settings(self, way: Any, epochs: float, lr: float | None) -> dict[str, Any]:
        """What `start` would make of these, in plain values, for the record."""
        return {"way": self.says(way), "epochs": epochs, "lr": lr}

    def says(self, way: Any) -> str:
        """A way in words, for tables."""
        if isinstance(way, Strategy):
            return dropped(way)
        return "as it is" if way is None else str(way)

    def identity(self) -> dict[str, Any]:
        """What must be the same for a comparison to be gone on with, in plain values.

        Entries that begin with ``training_`` or ``test_`` are fingerprints of data.
        """
        return {"task": self.name, "train": self.train, "test": self.test}

    def facts(self) -> dict[str, Any]:
        """For the record and the report."""
        return {"name": self.name, "train": self.train, "test": self.test, "unit": self.unit}


def require_task(task: object) -> None:
    """Make sure that a task says what the lab must know.

    Raises:
        UsageError: it is none, or something is missing.
    """
    if not isinstance(task, Task):
        fact = f"{task!r} is no task"
        cause = "it is a class" if isinstance(task, type) else f"it is a {type(task).__name__}"
        raise UsageError(explain(fact, cause, "give an object of a subclass of lab.Task"))
    lr = task.lr
    for name, good, wanted in (
        ("name", isinstance(getattr(task, "name", None), str), "a text"),
        ("train", is_count(getattr(task, "train", None), 1), "a whole number from 1 on"),
        ("test", is_count(getattr(task, "test", None), 1), "a whole number from 1 on"),
        ("epochs", is_number(task.epochs) and 0 < task.epochs <= 2**31, "a number above 0"),
        ("lr", lr is None or (is_number(lr) and lr > 0), "a number above 0, or None"),
    ):
        if not good:
            fact = f"the task {type(task).__name__} has {name}={getattr(task, name, None)!r}"
            raise UsageError(explain(fact, f"{wanted} is needed", "set it"))


def dropped(strategy: Strategy, schedule: Schedule | None = None) -> str:
    """What is dropped, how much and when, as far as it is not the usual.

    Example:
        >>> from layerdropback import Truncate
        >>> dropped(Truncate(0.3), Schedule(ramp="falling", length=4))
        'truncate, unit layer, share 0.3 (fixed), falling'
    """
    parts = [strategy.name, f"unit {strategy.unit}", strategy.rate_text]
    if schedule is not None:
        parts += [f"periods of {schedule.steps} steps"] if schedule.steps is not None else []
        parts += [schedule.ramp] if schedule.ramp != "constant" else []
        parts += [f"the last {schedule.anneal:.0%} in full"] if schedule.anneal else []
    return ", ".join(parts)


def whole_epochs(epochs: float) -> int:
    """Epochs that are begun, the last of which may be shorter.

    Example:
        >>> whole_epochs(2.5)
        3
    """
    return math.ceil(epochs)
