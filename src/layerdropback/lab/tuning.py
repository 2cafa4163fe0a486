"""Each arm's learning rate, chosen on training samples held out; the test set is not looked at."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..errors import Diverged, UsageError, explain
from .arms import Arm
from .task import Task
from .turns import OnStep, Player, take_turns

# Rates that a grid gets more of on either side, at most.
WIDER = 6

# Tuning's seeds, counted from here, are none of a comparison's.
FIRST_SEED = 1_000_000


class Tuning:
    """A search over learning rates, one grid for all arms, widened for each as it needs.

    Args:
        grid: learning rates, ascending, three or more.
        seeds: runs of each.
        task: whose training samples are held out.

    Attributes:
        held_out: their number.
    """

    def __init__(self, grid: Sequence[float], seeds: int, task: Task):
        self._grid = tuple(grid)
        self._seeds = range(FIRST_SEED, FIRST_SEED + seeds)
        self._task = task.held_out()
        self.held_out = self._task.test

    def go(
        self,
        arms: Sequence[Arm],
        trials: list[dict[str, Any]],
        after: Callable[[Mapping[str, Any]], None],
        on_step: OnStep | None = None,
    ) -> None:
        """Try what has to be tried.

        Args:
            arms: to be tuned.
            trials: those made already; new ones are added.
            after: called after each trial.
            on_step: called after each step of a trial; see `Player.turn`.

        Raises:
            UsageError: an arm's best learning rate is at the edge however wide the grid.
        """
        while missing := self._missing(arms, trials):
            arm, rate, seed = missing[0]
            # One after another: no time is compared, and what is stopped loses one trial at most.
            player = Player(replace(arm, lr=rate), seed, self._task)
            try:
                with suppress(Diverged):
                    take_turns([player], on_step=on_step, only_last=True)
                trials.append(_trial(player, rate))
            finally:
                player.close()
            after(trials[-1])

    def best(self, arm: str, trials: Sequence[Mapping[str, Any]]) -> float:
        """The learning rate with the best mean accuracy; of equal ones that of the lower loss."""
        return max(self._scores(arm, trials).items(), key=lambda entry: entry[1])[0]

    def _missing(
        self, arms: Sequence[Arm], trials: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Arm, float, int]]:
        """Trials that are still to be made: of the grid, and beyond an edge that is the best."""
        made = {(trial["arm"], trial["lr"], trial["seed"]) for trial in trials}
        missing = [
            (arm, rate, seed)
            for rate in self._grid
            for seed in self._seeds
            for arm in arms
            if (arm.name, rate, seed) not in made
        ]
        if missing:
            return missing
        for arm in arms:
            scores = self._scores(arm.name, trials)
            rates = sorted(scores)
            half = [rate for rate in rates if (arm.name, rate, self._seeds[-1]) not in made]
            best = self.best(arm.name, trials)
            if half:
                beyond = half[0]
            elif best == rates[0]:
                beyond = rates[0] * (rates[0] / rates[1])
            elif best == rates[-1]:
                beyond = rates[-1] * (rates[-1] / rates[-2])
            else:
                continue
            if len(rates) >= len(self._grid) + WIDER and not half:
                fact = f"the best learning rate of {arm.name} is {best:g}, at the edge of its grid"
                cause = f"widening the grid {WIDER} times has not helped"
                raise UsageError(explain(fact, cause, "give another --lr-grid"))
            missing += [
                (arm, beyond, seed) for seed in self._seeds if (arm.name, beyond, seed) not in made
            ]
        return missing

    def _scores(
        self, arm: str, trials: Sequence[Mapping[str, Any]]
    ) -> dict[float, tuple[float, float]]:
        found: dict[float, list[Mapping[str, Any]]] = {}
        for trial in trials:
            if trial["arm"] == arm:
                found.setdefault(trial["lr"], []).append(trial)
        return {
            rate: (
                statistics.mean(trial["accuracy"] or 0.0 for trial in made),
                -statistics.mean(
                    math.inf if trial["loss"] is None else trial["loss"] for trial in made
                ),
            )
            for rate, made in found.items()
        }


def _trial(player: Player, rate: float) -> dict[str, Any]:
    last = None if player.diverged else player.history[-1]
    return {
        "arm": player.arm.name,
        "lr": rate,
        "seed": player.seed,
        "accuracy": None if last is None else last["test_accuracy"],
        "loss": None if last is None else last["test_loss"],
        "seconds": sum(row["seconds"] for row in player.history),
    }
