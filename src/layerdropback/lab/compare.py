"""``ldb compare``: arms trained in turns from the same seeds, and what that shows."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UsageError, explain
from ..training.checkpoint import Checkpoints
from ..training.claim import claimed
from ..training.config import TrainConfig
from ..training.images.data import ImageData, LazySplit, Split, divided, load_for
from ..training.loop import Diverged, find_device
from ..training.machine import machine
from ..training.metrics import EpochMetrics
from ..training.models import small_stem
from ..training.paths import home
from ..training.run_folder import CHECKPOINTS, difference, identity, resolved
from ..training.stopping import Stopping
from .arms import Arm
from .pilot import Timing, pilot, same_time
from .record import RECORD, Record
from .report.build import make_report
from .telling import Telling
from .tuning import Tuning, hold_out
from .turns import Player, take_turns

# Seconds between two savings of runs that are under way.
SAVE_EVERY = 60.0


@dataclass(frozen=True)
class Plan:
    """How arms are compared.

    Attributes:
        seeds: of the runs that count.
        margin: in points, fixed before the runs: accuracies that differ by less are equal.
        lr_grid: learning rates to tune each arm's with, ascending; empty: all have the settings'.
        tune_seeds: runs of each learning rate, with seeds of their own.
        target: test accuracy whose time is told.
        kind: ``"comparison"``, or ``"sweep"``, for which training images stand in for the test's.
    """

    seeds: tuple[int, ...]
    margin: float = 0.5
    lr_grid: tuple[float, ...] = ()
    tune_seeds: int = 1
    target: float | None = None
    kind: str = "comparison"

    def check(self) -> None:
        """Look at every value.

        Raises:
            UsageError: one makes no sense.

        Example:
            >>> Plan(seeds=()).check()
            Traceback (most recent call last):
            ...
            layerdropback.errors.UsageError: --seeds 0 is not usable. Cause: \
a whole number from 1 to 1000 is needed. Cure: give one.
        """
        number = "a whole number from 1 to 1000 is needed"
        self._require(1 <= len(self.seeds) <= 1000, f"--seeds {len(self.seeds)}", number)
        self._require(1 <= self.tune_seeds <= 1000, f"--tune-seeds {self.tune_seeds}", number)
        good = 0 < self.margin <= 100
        self._require(good, f"--margin {self.margin:g}", "points in (0, 100] are needed")
        good = self.target is None or 0 < self.target <= 100
        self._require(good, f"--target {self.target}", "a percentage in (0, 100] is needed")
        grid = self.lr_grid
        shown = f"--lr-grid {','.join(format(rate, 'g') for rate in grid)}"
        good = not grid or (len(grid) >= 3 and all(0 < rate < 1e30 for rate in grid))
        self._require(good, shown, "three learning rates above 0, or more, are needed")
        self._require(list(grid) == sorted(set(grid)), shown, "they are to rise")

    def _require(self, good: bool, fact: str, cause: str) -> None:
        if not good:
            raise UsageError(explain(f"{fact} is not usable", cause, "give one"))


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
    folder = _folder(config)
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
        # What was left to the data is decided once, for all arms.
        decided = {name: getattr(self.config, name) for name in ("in_memory", "crop", "flip")}
        self.arms = {
            arm.name: replace(arm, config=replace(arm.config, **_open(arm.config, decided)))
            for arm in arms
        }
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
                (self.folder / RECORD).unlink(missing_ok=True)
            self.record = found or self._new_record()
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
        record.arms = [_as_dict(arm) for arm in self.arms.values()]
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
        elif (self.folder / RECORD).exists():
            record = Record.read(self.folder)
            refused = self._refuse(record)
            if refused is not None:
                fact, cause = f"{self.folder / RECORD} {refused}", "one record cannot hold both"
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
        return difference(self._identity(), record.identity)

    def _identity(self) -> dict[str, Any]:
        base = identity(self.config, self.data)
        shared = self.config.as_dict()
        arms = {
            f"{arm.name}: {name}": value
            for arm in self.arms.values()
            for name, value in _settings(arm).items()
            if value != shared[name]
        }
        plan = asdict(self.plan)
        decides = {name: plan[name] for name in ("margin", "lr_grid", "tune_seeds", "target")}
        kind = {} if self.plan.kind == "comparison" else {"kind": self.plan.kind}
        return base | arms | kind | {k: _plain(v) for k, v in decides.items()}

    def _new_record(self) -> Record:
        data = self.data
        return Record(
            command=shlex.join(["ldb", *sys.argv[1:]]),
            facts=machine(find_device(self.config.device)),
            data={
                "name": data.name,
                "train": len(data.train),
                "test": len(data.test),
                "size": data.size,
                "classes": len(data.classes),
            },
            settings=self.config.as_dict(),
            identity=self._identity(),
            arms=[_as_dict(arm) for arm in self.arms.values()],
            seeds=list(self.plan.seeds),
            margin=self.plan.margin,
            by_front=True,
            kind=self.plan.kind,
            target=self.plan.target,
        )

    def _close(self) -> None:
        for player in self.players:
            player.close()
        self.players.clear()


def _folder(config: TrainConfig) -> Path:
    if config.out is None:
        return Path("runs") / f"compare-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = home(config.out, "--out ")
    if folder.is_file():
        raise UsageError(
            explain(f"--out {config.out} is a file", "a folder is needed", "give another name")
        )
    if folder.is_dir() and any(folder.iterdir()) and not (config.resume or config.overwrite):
        fact, cause = f"--out {config.out} is not empty", "something would be lost"
        raise UsageError(explain(fact, cause, "give another folder, or --resume, or --overwrite"))
    return folder


def _open(config: TrainConfig, decided: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was decided, that which an arm's settings leave open."""
    return {
        name: value
        for name, value in decided.items()
        if getattr(config, name) in ("auto", None) and (name == "in_memory" or config.augment)
    }


def _as_dict(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "role": arm.role,
        "of": arm.of,
        "says": arm.says,
        "settings": _settings(arm),
    }


def _settings(arm: Arm) -> dict[str, Any]:
    """An arm's settings but for where it is and its seed."""
    left_out = ("out", "overwrite", "resume", "seed")
    return {name: value for name, value in arm.config.as_dict().items() if name not in left_out}


def _row(player: Player, metrics: EpochMetrics) -> dict[str, Any]:
    return {"arm": player.arm.name, "seed": player.seed, **metrics.as_dict()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
