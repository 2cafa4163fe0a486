"""``ldb compare``: arms trained in turns from the same seeds, and what that shows."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UsageError, explain
from ..training.checkpoint import Checkpoints
from ..training.claim import claimed
from ..training.config import TrainConfig
from ..training.device import find_device
from ..training.finished import Diverged
from ..training.images.data import ImageData, LazySplit, Split, divided, load_for
from ..training.metrics import EpochMetrics
from ..training.models import small_stem
from ..training.run_folder import CHECKPOINTS, difference, resolved
from ..training.stopping import Stopping
from .arms import Arm
from .beginning import arm_as_dict, decided_arms, identity_of, new_record
from .pilot import Timing, pilot, same_time
from .plan import Plan, folder_of
from .record import PACKED, RECORD, Record, file_of
from .report.build import make_report
from .telling import Telling
from .tuning import Tuning, hold_out
from .turns import Player, take_turns

# Seconds between two savings of runs that are under way.
SAVE_EVERY = 60.0


def compare(
    config: TrainConfig, arms: Sequence[Arm], plan: Plan, console: Console | None = None
) -> Record:
    """Run a comparison, or go on with one.

    Each seed's runs take turns epoch by epoch in this process. Everything is kept in
    ``config.out``: the record as ``comparison.json`` and the runs under way as a checkpoint.

    Args:
        config: the settings that all arms share; ``out``, ``overwrite`` and ``resume`` say where.
        arms: plain training first; see `make_arms`.
        plan: how to compare.
        console: where to say what happens; standard output by default.

    Raises:
        UsageError: the settings cannot be followed, or another comparison is in the folder.
        Stopped: SIGTERM or Ctrl-C came; what is done is saved.
    """
    plan.check()
    for arm in arms:
        arm.config.check()
        small_stem(arm.config.model)
    find_device(config.device)
    folder = folder_of(config)
    telling = Telling(console)
    data, spare = divided(load_for(replace(config, limit_train=None)), config.limit_train)
    if plan.kind == "sweep":
        data, spare = hold_out(data, spare, share=0.5)  # the rest is for learning rates
    return _Comparison(config, arms, plan, data, spare, folder, telling).go()


class _Comparison:
    """What one call of `compare` holds together."""

    def __init__(
        self,
        config: TrainConfig,
        arms: Sequence[Arm],
        plan: Plan,
        data: ImageData,
        spare: Split | LazySplit | None,
        folder: Path,
        telling: Telling,
    ):
        self.config, self.plan, self.data = resolved(config, data), plan, data
        self._spare = spare
        self.arms = decided_arms(self.config, arms)
        self.folder, self.telling = folder, telling
        self.stopping = Stopping()
        self.checkpoints = Checkpoints(folder / CHECKPOINTS, keep=1)
        self.players: list[Player] = []
        self._saved_at, self._saves = time.monotonic(), 0

    def go(self) -> Record:
        with ExitStack() as stack:
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(self.folder))
            states: Mapping[str, Any] = {}
            found = None
            if self.config.resume:
                found, states = self._found()
            if found is None:
                self.checkpoints.clear()
                for name in (RECORD, PACKED):
                    (self.folder / name).unlink(missing_ok=True)
            self.record = found or new_record(*self._what)
            stack.enter_context(self.stopping)
            stack.callback(self._close)
            stack.callback(self.telling.close)
            self.telling.begins(self.record, self.folder)
            self._time_and_tune()
            for seed in self.plan.seeds:
                if seed not in self.record.finished_seeds():
                    self._run(seed, states)
                    states = {}
            self.checkpoints.clear()
        self.telling.ends(self.record, make_report([self.folder]))
        return self.record

    def _time_and_tune(self) -> None:
        """The pilot, the epochs of plain training of equal time, and the learning rates."""
        record = self.record
        timed = [arm for arm in self.arms.values() if arm.role != "same time"]
        if not record.pilot:
            left_out = record.left_out if self.plan.kind == "sweep" else None
            found = pilot(timed, self.data, len(self.plan.seeds), self._passing, left_out)
            record.pilot = {name: asdict(timing) for name, timing in found.items()}
            self._save()
        for name in record.left_out:
            del self.arms[name]
        if all(arm.role != "method" for arm in self.arms.values()):
            raise UsageError(" ".join(record.left_out.values()))
        timings = {name: Timing(**values) for name, values in record.pilot.items()}
        plain = timed[0]
        steps = len(self.data.train) // plain.config.batch_size
        for arm in list(self.arms.values()):
            if arm.role == "same time" and arm.of is not None:
                self.arms[arm.name] = same_time(arm, timings[arm.of], timings[plain.name], steps)
        if self.plan.lr_grid:
            tuning = Tuning(self.plan.lr_grid, self.plan.tune_seeds, self.data, self._spare)
            record.held_out = tuning.held_out
            tuning.go(list(self.arms.values()), record.trials, self._tuned, self._after_step)
            for name, arm in self.arms.items():
                record.tuned[name] = tuning.best(name, record.trials)
                tuned = replace(arm.config, lr=record.tuned[name])
                self.arms[name] = replace(arm, config=tuned)
        record.arms = [arm_as_dict(arm) for arm in self.arms.values()]
        self._save()
        self.telling.planned(record)

    def _tuned(self, trial: Mapping[str, Any]) -> None:
        self.telling.trial(trial)
        self._save()
        self._stop_if_asked()

    def _passing(self, text: str) -> None:
        self.telling.passing(text)
        self._stop_if_asked()

    def _run(self, seed: int, states: Mapping[str, Any]) -> None:
        """All arms with one seed, in turns."""
        self.record.epochs = [row for row in self.record.epochs if row["seed"] != seed]
        for arm in self.arms.values():
            player = Player(arm, seed, self.data, states.get(arm.name))
            self.players.append(player)
            self.record.epochs += [_row(player, metrics) for metrics in player.history]
        try:
            take_turns(self.players, self._after_turn, self._after_step)
        except Diverged as error:
            lost = next(player for player in self.players if player.diverged)
            raise UsageError(f"{lost.arm.name} with seed {seed}: {error}") from None
        for player in self.players:
            times = player.trainer.ldb.stats()["times_dropped"]
            if any(times.values()):
                self.record.dropped[f"{player.arm.name} {seed}"] = times
        self._close()
        self._save()
        self.telling.seed_done(self.record, seed)

    def _after_turn(self, player: Player, metrics: EpochMetrics) -> None:
        self.record.epochs.append(_row(player, metrics))
        self.telling.epoch(self.record, player, metrics)
        if time.monotonic() - self._saved_at > SAVE_EVERY:
            self._save()
        self._stop_if_asked()

    def _after_step(self, images: int) -> None:
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.stopping.requested is not None:
            self._save()
            self.telling.stopped(self.record, self.folder)
            self.stopping.check()

    def _save(self) -> None:
        players = {player.arm.name: player.state_dict() for player in self.players}
        self._saves += 1
        state = {"record": self.record.as_text(), "players": players}
        self.checkpoints.save(state, self._saves)
        self.record.write(self.folder)
        self._saved_at = time.monotonic()

    def _found(self) -> tuple[Record | None, Mapping[str, Any]]:
        """What an earlier process saved: its record, and the states of runs under way."""
        self.checkpoints.clear_partial()
        players: Mapping[str, Any] = {}
        found = self.checkpoints.load(self._refuse_state)
        if found is not None:
            state, _, problems = found
            for problem in problems:
                self.telling.say(f"checkpoint {problem}: set aside")
            self._saves, players = state["step"], state["players"]
            record = Record.from_text(state["record"])
        elif (path := file_of(self.folder)).exists():
            record = Record.read(self.folder)
            refused = self._refuse(record)
            if refused is not None:
                fact, cause = f"{path} {refused}", "one record cannot hold both"
                cure = "leave the flags out that differ, or give another --out"
                raise UsageError(explain(fact, cause, cure))
        else:
            return None, players
        if set(record.seeds) - set(self.plan.seeds):
            fact = f"--seeds {len(self.plan.seeds)} leaves out seeds that were planned"
            cause = f"the comparison has {len(record.seeds)}"
            raise UsageError(explain(fact, cause, "give as many or more"))
        record.seeds = list(self.plan.seeds)
        self.telling.say(f"resumed: {len(record.finished_seeds())} seeds are done")
        return record, players

    def _refuse_state(self, state: Mapping[str, Any]) -> str | None:
        try:
            return self._refuse(Record.from_text(state["record"]))
        except ValueError as error:
            return f"is of no use: {error}"

    def _refuse(self, record: Record) -> str | None:
        return difference(identity_of(*self._what), record.identity)

    @property
    def _what(self) -> tuple[TrainConfig, ImageData, list[Arm], Plan]:
        return self.config, self.data, list(self.arms.values()), self.plan

    def _close(self) -> None:
        for player in self.players:
            player.close()
        self.players.clear()


def _row(player: Player, metrics: EpochMetrics) -> dict[str, Any]:
    return {"arm": player.arm.name, "seed": player.seed, **metrics.as_dict()}
