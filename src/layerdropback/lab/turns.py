"""Several runs taking turns in one process, so that a machine that slows down slows all of them."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from torch import Tensor

from ..errors import Diverged, UsageError, explain
from ..runs.randomness import generator_states, seed_all, set_generator_states
from .arms import Arm
from .calling import now
from .held import state_bytes
from .task import Run, Task, whole_epochs

OnStep = Callable[[], None]
Row = dict[str, Any]


@dataclass
class SoFar:
    """Of the epoch that has begun: its steps, the sum of their losses, and their seconds."""

    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0


class Player:
    """One arm's run with one seed, as it would be alone.

    It has the global random generators to itself while it is its turn.

    Args:
        arm: what to train.
        seed: of weights, data and masks.
        task: makes the run.
        state: of an earlier process, to go on with.

    Attributes:
        run: the run itself.
        history: a row for each of its epochs so far.
        diverged: whether its loss is no number any more.
    """

    def __init__(self, arm: Arm, seed: int, task: Task, state: Mapping[str, Any] | None = None):
        self.arm, self.seed, self.device = arm, seed, task.device
        self.history: list[Row] = []
        self.diverged = self._has_turn = False
        self._so_far = SoFar()
        self._losses: list[Tensor | float] = []
        before = generator_states(self.device)
        try:
            seed_all(seed)
            self.run: Run = task.start(arm.way, seed, arm.epochs, arm.lr)
            if not isinstance(self.run, Run):
                fact = f"start() of the task {task.name} returned {type(self.run).__name__}"
                cause = "the lab drives a layerdropback.lab.Run"
                raise UsageError(explain(fact, cause, "return an object of a subclass of it"))
            self._generators = generator_states(self.device)
            if state is not None:
                self._load(state)
        finally:
            set_generator_states(before, self.device)

    def _load(self, state: Mapping[str, Any]) -> None:
        self.run.load_state_dict(state["run"])
        self.history = [dict(row) for row in state["history"]]
        self._so_far = SoFar(**state["so_far"])
        self._generators = state["generators"]

    @property
    def finished(self) -> bool:
        """Whether all of its epochs are done."""
        return len(self.history) == whole_epochs(self.arm.epochs)

    @property
    def progress(self) -> float:
        """Share of its steps that are done."""
        done: int = sum(row["steps"] for row in self.history)
        return (done + self._so_far.steps) / self.steps

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(map(self.run.steps_in, range(whole_epochs(self.arm.epochs))))

    @property
    def can_save(self) -> bool:
        """Whether its state can be had now."""
        return self.run.mid_epoch or self._so_far.steps == 0

    def turn(self, on_step: OnStep | None = None, only_last: bool = False) -> Row:
        """Train for one epoch, or the rest of one, and test.

        Args:
            on_step: called after every step; what it raises leaves a state from which training can
                go on, where the run can be saved there.
            only_last: test after the last epoch alone.

        Raises:
            Diverged: the loss is no number any more.
        """
        epoch = len(self.history)
        try:
            with self.generators():
                self._train(epoch, on_step)
                last = epoch + 1 == whole_epochs(self.arm.epochs)
                tested = self.run.test() if last or not only_last else None
                row = self._row(epoch, tested)
        except Diverged:
            self.diverged = True
            raise
        self._so_far = SoFar()
        self.history.append(row)
        return row

    def _train(self, epoch: int, on_step: OnStep | None) -> None:
        so_far, wanted = self._so_far, self.run.steps_in(epoch)
        if so_far.steps == wanted:  # only the test is left to do
            return
        since = now(self.device)
        with closing(self.run.train(epoch, so_far.steps)) as training:
            try:
                for loss in islice(training, wanted - so_far.steps):
                    self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
                    so_far.steps += 1
                    if on_step is not None:
                        so_far.seconds += time.perf_counter() - since
                        on_step()
                        since = time.perf_counter()
                self._require_end(training, epoch, wanted)
            finally:
                so_far.seconds += now(self.device) - since

    def _require_end(self, training: Iterator[object], epoch: int, wanted: int) -> None:
        """The generator had as many steps as were announced."""
        made, whole = self._so_far.steps, epoch + 1 <= self.arm.epochs
        # The rest of an epoch in whose middle the run ends is left where it is.
        more = made == wanted and whole and next(training, None) is not None
        if made < wanted or more:
            fact = f"{self.arm.name} made {'more' if more else made} steps in epoch {epoch + 1}"
            cause = f"its steps_in({epoch}) is {wanted}"
            raise UsageError(explain(fact, cause, "make the run's two methods agree"))

    def _row(self, epoch: int, tested: Mapping[str, Any] | None) -> Row:
        so_far = self._settled()
        row = {"train_loss": so_far.loss / max(1, so_far.steps)}
        if tested is not None:
            self._require_numbers(tested)
            row |= tested
        for name in ("train_loss", "test_loss"):
            if not math.isfinite(row.get(name, 0.0)):
                fact = f"the loss is {row[name]} in epoch {epoch + 1}"
                raise Diverged(explain(fact, "training diverged", "use a smaller learning rate"))
        own = {"epoch": epoch + 1, "mode": self.run.mode(epoch), "steps": so_far.steps}
        states = state_bytes(self.run.optimizer)
        held = {} if states is None else {"state_bytes": states}
        return own | row | {"seconds": so_far.seconds} | held

    def _require_numbers(self, tested: Mapping[str, Any]) -> None:
        for name in ("test_accuracy", "test_loss"):
            if not isinstance(tested.get(name), int | float):
                fact = f"the test of {self.arm.name} has no number {name!r}"
                cause = f"it gave {', '.join(sorted(map(str, tested))) or 'nothing'}"
                raise UsageError(explain(fact, cause, "return both, as floats"))

    def _settled(self) -> SoFar:
        """With the losses that nothing has waited for until now."""
        self._so_far.loss += sum(map(float, self._losses))
        self._losses.clear()
        return self._so_far

    @contextmanager
    def generators(self) -> Iterator[None]:
        """While the global generators are where this run left them, as they are in its turn."""
        if self._has_turn:
            yield
            return
        before = generator_states(self.device)
        set_generator_states(self._generators, self.device)
        self._has_turn = True
        try:
            yield
        finally:
            self._has_turn = False
            self._generators = generator_states(self.device)
            set_generator_states(before, self.device)

    def state_dict(self) -> dict[str, Any]:
        """To go on in another process; where `can_save` says so."""
        with self.generators():
            run, generators = self.run.state_dict(), generator_states(self.device)
        return {
            "seed": self.seed,
            "run": run,
            "history": self.history,
            "so_far": asdict(self._settled()),
            "generators": generators,
        }

    def close(self) -> None:
        """End what runs beside it."""
        self.run.close()


def take_turns(
    players: Sequence[Player],
    after: Callable[[Player, Row], None] | None = None,
    on_step: OnStep | None = None,
    only_last: bool = False,
) -> None:
    """Train all to their end, epoch by epoch, whoever is furthest behind coming next.

    A run of fewer epochs so has them spread over the same time as the others have theirs. Of those
    equally far, another one begins each time, and with each seed, as the first after a pause may
    find a cooler machine.

    Args:
        players: the runs.
        after: called after each turn.
        on_step: called after each step; see `Player.turn`.
        only_last: test each after its last epoch alone.
    """
    turn = players[0].seed if players else 0
    while waiting := [player for player in players if not player.finished]:
        least = min(player.progress for player in waiting)
        behind = [player for player in waiting if player.progress == least]
        chosen = behind[turn % len(behind)]
        turn += 1
        row = chosen.turn(on_step, only_last)
        if after is not None:
            after(chosen, row)
