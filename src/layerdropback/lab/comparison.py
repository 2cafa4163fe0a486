"""Arms trained in turns from the same seeds, and what that shows."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import Diverged, UsageError, explain
from ..runs.allocator import keep_freed_memory
from ..runs.claim import claimed
from ..runs.folder import CHECKPOINTS
from ..runs.leaving import absent, nothing_left
from ..runs.machine import command_line
from ..runs.stopping import Stopping
from .arms import Arm, arms_of, with_equal_time, with_shorter
from .opening import identity, new_record
from .pilot import Timing, pilot, same_time
from .plan import Place, Plan, seeds_from
from .record import Record
from .report.build import make_report
from .storing import Storing
from .task import Task, require_task
from .telling import Telling, resuming
from .tuning import Tuning
from .turns import Player, Row, take_turns


def compare(
    task: Task,
    arms: Mapping[str, Any] | Sequence[Arm],
    seeds: int | Sequence[int] = 3,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    console: Console | None = None,
    **more: Any,
) -> Record:
    """Compare ways to train, with plain training of equal time, or go on with a comparison.

    Each seed's runs take turns epoch by epoch in this process. `out` keeps everything: the record
    as ``comparison.json``, the report, and the runs under way as a checkpoint.

    Args:
        task: what is to be learnt.
        arms: ways by name, plain training first, see `arms_of`; or every arm itself.
        seeds: of the runs that count, or how many.
        out: a folder; a new one under ``runs`` by default.
        overwrite: replace what is there.
        resume: go on with what is there.
        console: where to say what happens; standard output by default.
        **more: of `Plan`: ``margin``, ``lr_grid``, ``tune_seeds``, ``target``; ``kind="sweep"``:
            many ways against plain training of several lengths, on training samples held out.

    Returns:
        All that was measured; ``record.verdicts()`` has what it shows.

    Raises:
        UsageError: the settings cannot be followed, or another comparison is in the folder.
        Stopped: SIGTERM or Ctrl-C came; what is done is saved.

    Example:
        See docs/compare.md, whose example is run by a test.
    """
    chosen = seeds_from(0, seeds) if isinstance(seeds, int) else tuple(seeds)
    plan, place = Plan(chosen, **more), Place(None if out is None else Path(out), overwrite, resume)
    require_task(task)
    swept = plan.kind == "sweep"
    task, controls = (task.held_out(), with_shorter) if swept else (task, with_equal_time)
    made = controls(arms_of(task, arms)) if isinstance(arms, Mapping) else list(arms)
    return carry_out(task, made, plan, place, console)


def carry_out(
    task: Task, arms: Sequence[Arm], plan: Plan, place: Place, console: Console | None = None
) -> Record:
    """The same with every arm and control named, plain training first; see `compare`."""
    plan.check()
    require_task(task)
    keep_freed_memory(task.device)
    return _Comparison(task, arms, plan, place, Telling(console)).go()


class _Comparison:
    """What one call of `carry_out` holds together."""

    def __init__(self, task: Task, arms: Sequence[Arm], plan: Plan, place: Place, telling: Telling):
        self.task, self.plan, self.telling = task, plan, telling
        self.arms = {arm.name: arm for arm in arms}
        self.folder, self._resume = place.folder(), place.resume
        self.stopping = Stopping()
        self.players: list[Player] = []
        self._storing = Storing(self.folder)

    def go(self) -> Record:
        with ExitStack() as stack:
            new = absent(self.folder / CHECKPOINTS)
            stack.enter_context(nothing_left(self.folder, new=new))
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(claimed(self.folder))
            states: Mapping[str, Any] = {}
            found = None
            if self._resume:
                found, states = self._found()
            if found is None:
                self._storing.begin_anew()
            self.record = found or new_record(self.plan, self.task, list(self.arms.values()))
            stack.enter_context(self.stopping)
            stack.callback(self._close)
            stack.callback(self.telling.close)
            self.telling.begins(self.record, self.folder)
            self._time_and_tune()
            for seed in self.plan.seeds:
                if seed not in self.record.finished_seeds():
                    self._run(seed, states)
                    states = {}
            self._storing.end()
        self.telling.ends(self.record, make_report([self.folder]))
        return self.record

    def _time_and_tune(self) -> None:
        """The pilot, the epochs of plain training of equal time, and the learning rates."""
        record = self.record
        timed = [arm for arm in self.arms.values() if arm.role != "same time"]
        new = not record.pilot
        if new:
            left_out = record.left_out if self.plan.kind == "sweep" else None
            found = pilot(timed, self.task, len(self.plan.seeds), self._passing, left_out)
            record.pilot = {name: asdict(timing) for name, timing in found.items()}
            _require_plain(timed[0].name, found[timed[0].name])
        for name in record.left_out:
            del self.arms[name]
        if all(arm.role != "method" for arm in self.arms.values()):
            fact, reasons = "nothing is left to compare", "; ".join(record.left_out.values())
            reason = reasons.rstrip(".") or "there is no method beside plain training"
            raise UsageError(explain(fact, reason, "give another method"))
        if new:  # and nothing is left of what is refused
            self._save()
        timings = {name: Timing(**values) for name, values in record.pilot.items()}
        for arm in list(self.arms.values()):
            if arm.role == "same time" and arm.of is not None:
                self.arms[arm.name] = same_time(arm, timings[arm.of], timings[timed[0].name])
        if self.plan.lr_grid:
            self._tune()
        record.arms = [arm.as_dict(self.task) for arm in self.arms.values()]
        self._save()
        self.telling.planned(record)

    def _tune(self) -> None:
        record = self.record
        tuning = Tuning(self.plan.lr_grid, self.plan.tune_seeds, self.task)
        record.held_out = tuning.held_out
        tuning.go(list(self.arms.values()), record.trials, self._tuned, self._stop_if_asked)
        for name, arm in self.arms.items():
            record.tuned[name] = tuning.best(name, record.trials)
            self.arms[name] = replace(arm, lr=record.tuned[name])

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
        # Those of a seed that had made its last row are no beginning of the next one.
        mine = {name: state for name, state in states.items() if state.get("seed") == seed}
        for arm in self.arms.values():
            player = Player(arm, seed, self.task, mine.get(arm.name))
            self.players.append(player)
            self.record.epochs += [_row(player, row) for row in player.history]
        try:
            take_turns(self.players, self._after_turn, self._stop_if_asked)
        except Diverged as error:
            lost = next(player for player in self.players if player.diverged)
            raise UsageError(f"{lost.arm.name} with seed {seed}: {error}") from None
        self._close()
        self._save()
        self.telling.seed_done(self.record, seed)

    def _after_turn(self, player: Player, row: Row) -> None:
        self.record.epochs.append(_row(player, row))
        if player.finished:  # with its last row: a seed that has all of its rows is not run again
            self._count(player)
        self.telling.epoch(self.record, player, row)
        if self._storing.is_due:
            self._save()
        self._stop_if_asked()

    def _count(self, player: Player) -> None:
        ldb = player.run.ldb
        times = {} if ldb is None else ldb.stats()["times_dropped"]
        if any(times.values()):
            self.record.dropped[f"{player.arm.name} {player.seed}"] = times

    def _stop_if_asked(self) -> None:
        if self.stopping.requested is not None:
            again = resuming(self.record.command, self.folder, self._resume)
            self.telling.stopped(self.record, self._save(), again)
            self.stopping.check()

    def _save(self) -> bool:
        """Keep everything; a run that cannot be saved in mid-epoch leaves what was kept before."""
        whole = all(player.can_save for player in self.players)
        if whole:
            states = {player.arm.name: player.state_dict() for player in self.players}
            self._storing.save(self.record, states)
        return whole

    def _found(self) -> tuple[Record | None, Mapping[str, Any]]:
        """What an earlier process saved: its record, and the states of runs under way."""
        same = identity(self.plan, self.task, list(self.arms.values()))
        record, players, problems = self._storing.found(same)
        for problem in problems:
            self.telling.say(f"checkpoint {problem}: set aside")
        if record is None:
            return None, players
        if set(record.seeds) - set(self.plan.seeds):
            fact = f"--seeds {len(self.plan.seeds)} leaves out seeds that were planned"
            cause = f"the comparison has {len(record.seeds)}"
            raise UsageError(explain(fact, cause, "give as many or more"))
        if record.seeds != list(self.plan.seeds):  # the command of before cannot go on with it
            record.seeds, record.command = list(self.plan.seeds), command_line()
        self.telling.say(f"resumed: {len(record.finished_seeds())} seeds are done")
        return record, players

    def _close(self) -> None:
        for player in self.players:
            player.close()
        self.players.clear()


def _require_plain(name: str, timing: Timing) -> None:
    if set(timing.per_step) != {"full"}:
        fact = f"the first arm, {name!r}, drops layers"
        cause = "it is the plain training that all others are compared with"
        raise UsageError(explain(fact, cause, "put plain training first"))


def _row(player: Player, row: Row) -> dict[str, Any]:
    return {"arm": player.arm.name, "seed": player.seed, **row}
