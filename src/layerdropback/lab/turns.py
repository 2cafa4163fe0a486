"""Several runs taking turns in one process, so that a machine that slows down slows all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..runs.randomness import generator_states, set_generator_states
from ..training.finished import Diverged
from ..training.images.data import ImageData
from ..training.loop import Trainer
from ..training.metrics import EpochMetrics
from ..training.watching import OnStep
from .arms import Arm


class Player:
    """One arm's run with one seed, as ``ldb train`` would run it alone.

    It has the global random generators to itself while it is its turn.

    Args:
        arm: what to train.
        seed: of weights, data and masks.
        data: the images, shared by all.
        state: of an earlier process, to go on with.

    Attributes:
        trainer: the run itself.
        history: metrics of its epochs so far.
        diverged: whether its loss is no number any more.
    """

    def __init__(
        self, arm: Arm, seed: int, data: ImageData, state: Mapping[str, Any] | None = None
    ):
        self.arm, self.seed = arm, seed
        config = replace(arm.config, seed=seed)
        self.trainer: Trainer = arm.make(config, data, state and state["trainer"])
        self.history: list[EpochMetrics] = []
        self.diverged = False
        if state is not None:
            self.trainer.load_state_dict(state["trainer"])
            rows = enumerate(state["history"], start=1)
            self.history = [EpochMetrics.from_dict(row, number) for number, row in rows]
        self._generators = generator_states(self.trainer.device)
        self._epochs = config.epoch_count

    @property
    def finished(self) -> bool:
        """Whether all of its epochs are done."""
        return len(self.history) == self._epochs

    @property
    def progress(self) -> float:
        """Share of its steps that are done."""
        return self.trainer.steps / self.steps

    @cached_property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(map(self.trainer.steps_in, range(self._epochs)))

    def turn(self, on_step: OnStep | None = None) -> EpochMetrics:
        """Train for one epoch, or the rest of one, and test; see `Trainer.train_epoch`."""
        try:
            with self.generators():
                metrics = self.trainer.train_epoch(len(self.history), on_step)
        except Diverged:
            self.diverged = True
            raise
        self.history.append(metrics)
        return metrics

    @contextmanager
    def generators(self) -> Iterator[None]:
        """While the global generators are where this run left them."""
        device = self.trainer.device
        before = generator_states(device)
        set_generator_states(self._generators, device)
        try:
            yield
        finally:
            self._generators = generator_states(device)
            set_generator_states(before, device)

    def state_dict(self) -> dict[str, Any]:
        """To go on in another process."""
        with self.generators():
            trainer = self.trainer.state_dict()
        return {"trainer": trainer, "history": [metrics.as_dict() for metrics in self.history]}

    def close(self) -> None:
        """End what runs beside it."""
        self.trainer.pipeline.close()


def take_turns(
    players: Sequence[Player],
    after: Callable[[Player, EpochMetrics], None] | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Train all to their end, epoch by epoch, whoever is furthest behind coming next.

    A run of fewer epochs so has them spread over the same time as the others have theirs. Of those
    equally far, another one begins each time, as the first after a pause may find a cooler machine.

    Args:
        players: the runs.
        after: called after each turn.
        on_step: called after each step with its number of images; see `Trainer.train_epoch`.
    """
    turn = 0
    while waiting := [player for player in players if not player.finished]:
        least = min(player.progress for player in waiting)
        behind = [player for player in waiting if player.progress == least]
        chosen = behind[turn % len(behind)]
        turn += 1
        metrics = chosen.turn(on_step)
        if after is not None:
            after(chosen, metrics)
