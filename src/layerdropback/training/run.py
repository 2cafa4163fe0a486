"""One run from its settings to a folder of results, to be stopped and resumed at any moment."""

import warnings
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from rich.console import Console

from ..errors import Diverged, UsageError, WorkerError, explain
from ..runs.checkpoint import Checkpoints
from ..runs.claim import claimed
from ..runs.folder import CHECKPOINTS, LINES, SETTINGS, TABLE, WEIGHTS
from ..runs.machine import find_device, machine
from ..runs.paths import home
from ..runs.stopping import Stopping
from .config import TrainConfig
from .export import export_weights, notes_of
from .images.data import load_for
from .journal import Journal, require_tensorboard
from .loop import Trainer
from .metrics import EpochMetrics
from .models import small_stem
from .nonfinite import LOOK_EVERY
from .progress import Progressing, RunConsole, explained, introduction, last_line, not_saved
from .run_folder import (
    PARTS,
    changed_machine,
    find_checkpoint,
    history_of,
    identity,
    make_folder,
    new_folder,
    recorded_config,
    require_no_run,
    require_what_to_begin,
    resolved,
    write_records,
)
from .workers import LAUNCH, Workers, joined, require_workers

# A worker that dies while it hands over a batch; one that dies earlier is torch's RuntimeError.
_CUT_OFF = (ConnectionResetError, ConnectionRefusedError, EOFError)


def train(config: TrainConfig, console: Console | None = None) -> list[EpochMetrics]:
    """Train as the settings say, and write everything to the run's folder.

    Started by ``torchrun``, the process trains together with the others; the first one writes.

    Args:
        config: the settings.
        console: where to say what happens; standard output by default.

    Returns:
        The metrics of every epoch.

    Raises:
        UsageError: the settings cannot be followed.
        Stopped: SIGTERM or Ctrl-C came; the state is saved.
    """
    config.check()
    with joined(config.device) as workers:
        workers.of_first(lambda: require_no_run(config))
        return _Run(config, console or RunConsole(), False, workers).go()


def resume(
    config: TrainConfig, given: Mapping[str, Any], console: Console | None = None
) -> list[EpochMetrics]:
    """Go on with the run in ``config.out``, bit for bit on the same machine; or begin it.

    Args:
        config: the settings if there is no run yet.
        given: those settings that were given, by name: they must be the run's.
        console: see `train`.

    Returns:
        The metrics of every epoch, those before the stop among them.

    Raises:
        UsageError: the run has other settings, no checkpoint of it can be used, or there is none.
        Stopped: see `train`.
    """
    if config.out is None:
        raise UsageError(explain("nothing to resume", "no folder is named", "give --out"))
    folder = home(config.out, "--out ")

    def recorded() -> TrainConfig | None:
        if (folder / SETTINGS).exists():
            return recorded_config(folder, given)
        config.check()
        require_no_run(config)
        require_what_to_begin(folder, given)
        return None

    with joined(config.device) as workers:
        found = workers.of_first(recorded)
        console = console or RunConsole()
        if found is None and workers.first:
            text = f"nothing to resume in {folder} yet: a new run"
            console.print(text, highlight=False, soft_wrap=True)
        return _Run(found or config, console, found is not None, workers).go()


class _Run:
    """What one call of `train` or `resume` holds together."""

    def __init__(self, config: TrainConfig, console: Console, resuming: bool, workers: Workers):
        # What can be told at once is told before the data is read.
        config.check()
        require_workers(config, workers)
        self.workers = workers
        device = find_device(config.device)
        small_stem(config.model)
        if config.tensorboard:
            require_tensorboard()
        self.resuming = resuming
        console.quiet = console.quiet or not workers.first
        self.progress = Progressing(console, config.epochs)
        self.journal: Journal | None = None  # of the first worker alone
        self.history: list[EpochMetrics] = []
        self.data = load_for(config, workers)
        self.config = resolved(config, self.data)
        self.identity = identity(self.config, self.data)
        self.facts = machine(device)
        if workers.count > 1:
            self.facts["hardware"]["processes"] = workers.count
        self.stopping = Stopping(patient=workers.grouped)

    def go(self) -> list[EpochMetrics]:
        config = self.config
        with ExitStack() as stack:
            if not self.workers.first:  # the first one tells
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            try:
                found = None
                if not self.resuming:  # what cannot be trained leaves no folder behind
                    self._make(None)
                self.folder = self.workers.of_first(
                    lambda: (
                        make_folder(config)
                        if self.resuming
                        else stack.enter_context(new_folder(config))
                    )
                )
                self.checkpoints = Checkpoints(
                    self.folder / CHECKPOINTS, config.checkpoints, parts=PARTS
                )
                self.workers.of_first(lambda: stack.enter_context(claimed(self.folder)))
                if self.resuming:
                    found = self.workers.of_first(self._find)
                    self._make(found)
                else:
                    self.workers.of_first(self._clear)
                stack.callback(self.trainer.pipeline.close)
                for line in introduction(self.config, self.data, self.trainer):
                    self.progress.say(line)
                if self.resuming:
                    self._go_to(found)
                else:
                    self.workers.of_first(self._record)
                self.workers.of_first(lambda: self._open_journal(stack))
                stack.enter_context(self.stopping)
                stack.enter_context(self.progress.running())
                while len(self.history) < config.epoch_count:
                    self._epoch()
            except (RuntimeError, MemoryError) as error:
                known = explained(error, self.config, self.workers, len(self.history) + 1)
                if known is None:
                    raise
                raise known from error
            self._finish()
        return self.history

    def _open_journal(self, stack: ExitStack) -> None:
        rows = [metrics.as_dict() for metrics in self.history]
        self.journal = stack.enter_context(Journal(self.folder, rows, self.config.tensorboard))

    def _epoch(self) -> None:
        epoch = len(self.history)
        self.progress.begin(epoch, len(self.data.train), self.trainer.so_far.samples)
        try:
            metrics = self.trainer.train_epoch(epoch, self._after_step, self._if_asked)
        except UsageError as error:
            if self.workers.count == 1 or isinstance(error, Diverged):
                raise
            raise WorkerError(f"rank {self.workers.rank}: {error}") from error
        except (RuntimeError, *_CUT_OFF) as error:
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            with suppress(RuntimeError):  # torch's signal handler may still have to tell of it
                self.trainer.pipeline.close()
            if self.workers.count == 1:
                self._save()  # the state after the last step is whole
            fact, cause = "a process that reads images was killed", "memory was short, perhaps"
            raise WorkerError(explain(fact, cause, "use fewer --workers, and --resume")) from error
        self.history.append(metrics)
        self._save()
        if self.journal is not None:
            self.journal.add(metrics.as_dict())
        self.progress.end(metrics)
        if self._asked_to_stop() and len(self.history) < self.config.epoch_count:
            self._stop()

    def _after_step(self, images: int) -> None:
        self.progress.step(images)
        self._if_asked(images)
        if self.trainer.so_far.steps % LOOK_EVERY == 0:
            self.trainer.require_finite()
        every = self.config.checkpoint_every
        if every is not None and self.trainer.steps % every == 0:
            self._save()

    def _if_asked(self, images: int) -> None:
        if self._asked_to_stop():
            self._save()
            self._stop()

    def _asked_to_stop(self) -> bool:
        """Whether a signal has come to any worker: all stop after the same step."""
        agreed = self.workers.highest(self.stopping.requested or 0)
        if agreed:
            self.stopping.requested = agreed
        return agreed != 0

    def _stop(self) -> None:
        done = f"{len(self.history)} of {self.config.epochs} epochs"
        steps = self.trainer.so_far.steps
        done += f" and {steps} steps" if steps else ""
        command = "ldb train" if not self.workers.grouped else LAUNCH
        command += f" --out {self.folder} --resume"
        self.progress.say(f"stopped after {done}, all saved; go on with: {command}")
        self.stopping.check()

    def _save(self) -> None:
        """Write a checkpoint; where the disk is full, training goes on with the last one."""
        with self.trainer.paused():
            self.trainer.require_finite()  # each checkpoint is one to go on from
            state = {
                "run": self.identity,
                "trainer": self.trainer.state_dict(),
                "history": [metrics.as_dict() for metrics in self.history],
                "export": {"spec": asdict(self.trainer.network.spec), "notes": self._notes()},
            }
            if not self.workers.first:
                return
            try:
                self.checkpoints.save(state, self.trainer.steps)
            except OSError as error:
                not_saved(error, self.folder, self.trainer.steps, bool(self.stopping.requested))

    def _find(self) -> Mapping[str, Any] | None:
        return find_checkpoint(self.folder, self.checkpoints, self.identity, self.progress.say)

    def _make(self, found: Mapping[str, Any] | None) -> None:
        going_on = found and found["trainer"]
        self.trainer = Trainer(self.config, self.data, going_on, self.workers)

    def _go_to(self, found: Mapping[str, Any] | None) -> None:
        if found is None:
            return
        self.trainer.load_state_dict(found["trainer"])
        self.history = history_of(found)
        steps = f", step {done}" if (done := self.trainer.so_far.steps) else ""
        where = f"epoch {len(self.history)} of {self.config.epochs} done{steps}"
        self.progress.say(f"resumed from {found['path'].name}: {where}")
        if changed := changed_machine(self.folder, self.facts):
            self.progress.say(changed)

    def _clear(self) -> None:
        """With --overwrite: what is there is not this run's."""
        require_no_run(self.config)  # another one may have begun while the data was read
        for name in (SETTINGS, WEIGHTS, LINES, TABLE):
            (self.folder / name).unlink(missing_ok=True)
        self.checkpoints.clear()

    def _record(self) -> None:
        data = self.data
        used = {
            "out": str(self.folder),
            "device_used": self.trainer.device.type,
            "stem_used": self.trainer.network.stem,
            "images": {"train": len(data.train), "test": len(data.test), "size": data.size},
        }
        write_records(self.folder, self.config, self.facts | used)

    def _notes(self) -> dict[str, Any]:
        trainer, history = self.trainer, self.history
        tested = history[-1].test_accuracy if history and trainer.so_far.steps == 0 else None
        inputs, done = trainer.network.inputs, (len(history), trainer.steps)
        return notes_of(self.config, self.data.classes, inputs, done, tested)

    def _finish(self) -> None:
        model = self.trainer.whole_model()
        if self.workers.first:
            export_weights(model, self.folder / WEIGHTS, self.trainer.network.spec, self._notes())
        self.progress.say(last_line(self.history, self.folder))
