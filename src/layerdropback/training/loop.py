"""The training loop, to be read like timm's ``train.py``: model, data, optimizer, schedule, loop.

`Trainer` makes these in this order, each by a module of its own, and `Trainer.steps_of` is the
loop. What is round it, the run's folder, checkpoints and signals, is in `run`.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from ..runs.allocator import keep_freed_memory
from ..runs.machine import find_device, peak_memory, reset_peak_memory
from ..runs.randomness import generator_states, set_generator_states
from ..runs.reasons import reason
from . import parallel
from .compiling import compile_blocks
from .config import TrainConfig
from .epochs import Epochs
from .evaluate import score
from .images.data import ImageData
from .images.pipeline import make_pipeline
from .metrics import EpochMetrics, SoFar, Tally
from .network import average, make_network
from .nonfinite import Guard, require_finite
from .norms import rest_norms
from .optimizing import first_rate, make_optimizer, make_schedule
from .phases import PhaseTimer
from .precision import Precision, set_tf32
from .step import Step
from .workers import ALONE, Workers, require_workers

OnStep = Callable[[int], None]  # gets the number of images

# What each worker counts of its own share.
_SUMS = ("loss", "correct", "unreadable")


class Trainer:
    """One run: a model, its optimizer and its data on a device.

    Args:
        config: checked already.
        data: the images.
        going_on: a state that will be loaded; then no first weights are looked for.
        workers: that train together with this process.

    Attributes:
        network: the model, and what it begins with.
        model: the network itself, with its own names; its parameters are shards with FSDP2.
        called: what a training step calls: the same, or DDP around it.
        so_far: what the epoch that has begun has done.

    Raises:
        UsageError: the model, its first weights or the device cannot be had.
        AttachError: see `LayerDropBack`.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ImageData,
        going_on: Mapping[str, Any] | None = None,
        workers: Workers = ALONE,
    ):
        require_workers(config, workers)
        self.config, self.workers = config, workers
        self.epochs = Epochs(config, len(data.train))
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        set_tf32(config.tf32)
        self.device = find_device(config.device)
        keep_freed_memory(self.device)
        torch.manual_seed(config.seed)

        self.network = make_network(config, data, self.device, going_on)
        self.model = self.network.model
        self.ema = average(self.model, config.ema)
        if config.parallel == "fsdp":
            parallel.sharded(self.model, config, self.device, workers)

        self.pipeline = make_pipeline(config, data, self.network.inputs, self.device, workers)
        self.optimizer = make_optimizer(config, self.model)
        self._schedule = make_schedule(config, self.optimizer, len(data.train))
        self.called, self.ldb = self._attach()
        self.phases = PhaseTimer(self.device)
        self._precision = Precision(config.precision, self.device, config.clip_grad)
        self._step = Step(
            self.called,
            self.optimizer,
            nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
            self._precision,
            self.phases,
            config.accumulate,
            workers,
            Guard(self.model, config.nonfinite == "skip", workers),
        )
        self._tally = Tally(self.device, self.phases, self.ldb.stats)
        self.steps = 0
        self.so_far = SoFar()
        parallel.seed_others(config.seed, workers)

    def _attach(self) -> tuple[nn.Module, LayerDropBack]:
        """What a step calls, replicated and compiled as the run asks for it, and the controller."""
        config, settings, called = self.config, self.epochs.settings, self.model
        if config.parallel == "ddp":
            called = parallel.replicated(self.model, settings.ever_drops)
        ldb = LayerDropBack(called, self.optimizer, **vars(settings))
        if isinstance(called, DistributedDataParallel):
            ldb.register_comm_hook()
        if config.compile == "blocks" and compile_blocks(self.model) == 0:
            fact = f"--compile blocks is not usable with {config.model}"
            raise UsageError(explain(fact, "it has no repeated blocks", "leave it out"))
        return called, ldb

    @property
    def tested(self) -> nn.Module:
        """What is tested and exported: the average of the weights, where there is one."""
        return self.model if self.ema is None else self.ema.module

    def paused(self) -> AbstractContextManager[None]:
        """Time spent inside is not counted."""
        return self._tally.paused()

    def require_finite(self) -> None:
        """Look at the loss so far and the weights; waits for the device, and for all workers.

        Raises:
            Diverged: one is no number any more.
        """
        self._tally.settle()
        require_finite(self.model, self._sums()[0], self.so_far.epoch + 1, self.workers)

    def begin_anew(self) -> None:
        """Forget how far the epoch that has begun is."""
        self.so_far = SoFar()

    def train_epoch(
        self, epoch: int, on_step: OnStep | None = None, on_test: OnStep | None = None
    ) -> EpochMetrics:
        """Train for one epoch, or for the rest of one that a checkpoint began, and test.

        Args:
            epoch: counted from 0.
            on_step: called after every step with its number of images; it may call `state_dict`;
                what it raises leaves a state from which training can go on.
            on_test: the same for batches of the test.

        Raises:
            Diverged: the loss is no number any more.
        """
        with closing(self.steps_of(epoch)) as steps:
            for _, images in steps:
                if on_step is not None:
                    on_step(images)
        return self.finish_epoch(on_test)

    def steps_of(self, epoch: int) -> Generator[tuple[Tensor, int], None, None]:
        """Train for one epoch, or the rest of one; a step for each value of the generator.

        Args:
            epoch: counted from 0.

        Yields:
            What `Step` returns, and the number of images of the whole batch.
        """
        if self.so_far.epoch != epoch:
            self.so_far = SoFar(epoch)
        reset_peak_memory(self.device)
        if self.so_far.steps < self.epochs.steps_in(epoch):  # else only the test is left to do
            with self._tally.counting(self.so_far):
                yield from self._train(self.so_far)

    def finish_epoch(self, on_test: OnStep | None = None) -> EpochMetrics:
        """Test after an epoch's steps, see `train_epoch`."""
        metrics = self._metrics(self.so_far, on_test)
        self.so_far = SoFar(self.so_far.epoch + 1)
        return metrics

    def _train(self, so_far: SoFar) -> Generator[tuple[Tensor, int], None, None]:
        config, epoch = self.config, so_far.epoch
        large = self.epochs.large(epoch)
        last = self.epochs.steps_in(epoch) - 1
        self.model.train()
        self.pipeline.set_epoch(epoch, so_far.samples)
        self.phases.start()
        for batch in self.ldb.epoch(self.pipeline.loader, epoch):
            images, targets = self.pipeline(batch)
            so_far.unreadable += self.pipeline.count_unread()
            count = len(images) * self.workers.count
            self.phases.mark("data")
            # The rate at the middle of the batch: neither 0 first nor 0 last, and the mean of what
            # the parts of a doubled batch would have had.
            seen = epoch * self.epochs.samples + so_far.samples + count / 2
            self._schedule.step_update(seen)
            so_far.lr_last = first_rate(self.optimizer)
            if so_far.steps == 0:
                so_far.lr = so_far.lr_last
            if so_far.steps == last:
                so_far.lr_factor = self.ldb.stats()["lr_factor"]
            rest_norms(self.model, config.bn_eval, self.ldb)
            totals = self._step(images, targets, large)
            self._tally.add(totals, count)
            so_far.lost += count if self._step.guard.lost else 0
            self.steps += 1
            if self.ema is not None:
                self.ema.update(self.model, step=self.steps)
            yield totals, count
            if so_far.steps > last and epoch + 1 > config.epochs:
                break  # the run ends in the middle of this epoch
            self.phases.start()

    def _metrics(self, so_far: SoFar, on_test: OnStep | None) -> EpochMetrics:
        (loss, correct, unreadable), peak = self._sums(), peak_memory(self.device)
        parallel.share_buffers(self.tested, self.workers)
        with self._precision.autocast():
            batches = self._test_batches(on_test)
            tested = score(self.tested, batches, self.device, self.workers.summed)
        large = self.epochs.large(so_far.epoch)
        unreadable += self.pipeline.tell_unread(self.workers)
        return EpochMetrics.of(
            so_far,
            (loss, correct),
            tested,
            unreadable=int(unreadable) if self.config.unreadable == "skip" else None,
            mode=self.epochs.mode(so_far.epoch),
            parts=self._step.parts_of_large if large else self._step.parts,
            peak_memory_mib=peak,
        )

    def _test_batches(self, on_test: OnStep | None) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.pipeline.test_batches():
            if on_test is not None:
                on_test(len(images))
            yield images, labels

    def _sums(self) -> list[float]:
        """Loss, right answers and unreadable images of the epoch so far, of all workers."""
        mine = [float(getattr(self.so_far, name)) for name in _SUMS]
        return list(map(float, self.workers.summed(torch.tensor(mine, dtype=torch.float64))))

    def state_dict(self) -> dict[str, Any]:
        """All that decides how training goes on, in tensors and plain values.

        It may be called after any step, from ``on_step``, and between epochs; by all workers, and
        the first one's can be loaded by any number of them.
        """
        self._tally.settle()
        sums = dict(zip(_SUMS, self._sums(), strict=True))
        generators, *others = self.workers.gathered(generator_states(self.device))
        return {
            "model": parallel.model_state(self.model),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": parallel.optimizer_state(self.optimizer),
            "scaler": self._precision.scaler.state_dict(),
            "ldb": self.ldb.state_dict(),
            "steps": self.steps,
            "parts_of_large": self._step.parts_of_large,
            "so_far": asdict(self.so_far) | sums,
            "generators": generators,
            "other_generators": others,
            **asdict(self.network.inputs),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, bit for bit on the same machine.

        Raises:
            UsageError: the state is of another run.
        """
        try:
            parallel.load_model_state(self.model, state["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"])
            parallel.load_optimizer_state(self.optimizer, state["optimizer"])
            self._precision.scaler.load_state_dict(state["scaler"])
            self.ldb.load_state_dict(state["ldb"])
            self.so_far = SoFar(**state["so_far"])
            if not self.workers.first:  # the sums of all are in the first one's
                vars(self.so_far).update(dict.fromkeys(_SUMS, 0.0))
            self.steps, self._step.parts_of_large = state["steps"], state["parts_of_large"]
            generators = [state["generators"], *state["other_generators"]]
            if self.workers.rank < len(generators):
                set_generator_states(generators[self.workers.rank], self.device)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            told = reason(error).partition(". Cause: ")[0]
            cause = f"{'it has no part ' if isinstance(error, KeyError) else ''}{told}"
            fact = "the checkpoint does not fit this run"
            cure = "resume with the release of layerdropback that wrote it"
            raise UsageError(explain(fact, cause, cure)) from error

    def whole_model(self) -> nn.Module:
        """What is tested; all workers must ask, and the first gets it in one piece."""
        return parallel.whole_model(self.tested, self.network.spec, self.workers)
