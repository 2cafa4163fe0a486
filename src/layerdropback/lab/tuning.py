"""Each arm's learning rate, chosen on training samples held out; the test set is not looked at."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        """Try what has to be tried, and add it to the trials.

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

        def left(arm: Arm, rates: Iterable[float]) -> list[tuple[Arm, float, int]]:
            every = itertools.product(rates, self._seeds)
            return [(arm, *trial) for trial in every if (arm.name, *trial) not in made]

        missing = [trial for arm in arms for trial in left(arm, self._grid)]
        if missing:
            return missing
        for arm in arms:
            rates, best = sorted(self._scores(arm.name, trials)), self.best(arm.name, trials)
            begun = left(arm, rates)
            beyond = None if begun else _beyond(rates, best)
            if beyond is not None and len(rates) >= len(self._grid) + WIDER:
                fact = f"the best learning rate of {arm.name} is {best:g}, at the edge of its grid"
                cause = f"widening the grid {WIDER} times has not helped"
                raise UsageError(explain(fact, cause, "give another --lr-grid"))
            missing += begun if beyond is None else left(arm, [beyond])
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


def _beyond(rates: Sequence[float], best: float) -> float | None:
    """The rate beyond the best one, where that is at an end."""
    if best == rates[0]:
        return rates[0] * (rates[0] / rates[1])
    return rates[-1] * (rates[-1] / rates[-2]) if best == rates[-1] else None


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
