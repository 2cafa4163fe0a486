"""The training loop: a plain one, with the two lines of LayerDropBack in it."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from .compiling import compile_blocks
from .config import TrainConfig
from .evaluate import score
from .images.augmenting import make_augments
from .images.data import ImageData
from .images.pipeline import Pipeline
from .initial import initial_normalisation, load_initial
from .memory import peak_memory, reset_peak_memory
from .metrics import EpochMetrics
from .model_args import parse_model_args
from .models import ModelSpec, build_model, choose_stem, normalisation
from .optimizing import make_optimizer, make_schedule
from .parallel import replicated, require_workers, seed_others, sharded, share_buffers
from .phases import PhaseTimer
from .precision import Precision, set_tf32
from .randomness import generator_states, set_generator_states
from .step import Step
from .tally import SoFar, Tally
from .whole_state import load_model_state, load_optimizer_state, model_state, optimizer_state
from .workers import ALONE, Workers

OnStep = Callable[[int], None]


class Diverged(UsageError):
    """The loss is no number any more."""


class Trainer:
    """One run: a model, its optimizer and its data on a device.

    Args:
        config: checked already.
        data: the images.
        going_on: a state that will be loaded; then no first weights are looked for.
        workers: that train together with this process.

    Attributes:
        model: the network itself, with its own names; its parameters are shards with FSDP2.
        called: what a training step calls: the same, or DDP around it.

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
        _require_batches(config, len(data.train))
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        set_tf32(config.tf32)
        self.config, self.workers = config, workers
        self.device = find_device(config.device)
        torch.manual_seed(config.seed)
        small = choose_stem(config.model, data.size, config.stem, config.pretrained)
        self.spec = ModelSpec(
            config.model,
            len(data.classes),
            data.channels,
            data.size,
            small,
            parse_model_args(config.model_args),
        )
        model, self.stem = build_model(self.spec, config.pretrained and going_on is None)
        self.start = ""
        if going_on is not None:
            self.mean, self.std = going_on["mean"], going_on["std"]
        else:
            if config.init is not None:
                self.start = load_initial(model, config.init, data.classes, self.spec)
            self.mean, self.std = _normalisation(config, model, data)
        self.model: nn.Module = model.to(self.device)
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.ema = None if config.ema == 0 else _average(self.model, config.ema)
        if config.parallel == "fsdp":
            sharded(self.model, config, self.device, workers)

        self._samples = len(data.train)
        self.optimizer = make_optimizer(config, self.model)
        self._schedule = make_schedule(config, self.optimizer, self._samples)
        length = run_length(config, self._samples)
        self._dropping = config.dropping.settings(length).schedule
        dropping = vars(config.dropping) | {"length": length}
        self.called: nn.Module = self.model
        if config.parallel == "ddp":
            self.called = replicated(self.model, self._dropping.ever_drops)
        self.ldb = LayerDropBack(self.called, self.optimizer, seed=config.seed, **dropping)
        if isinstance(self.called, DistributedDataParallel):
            self.ldb.register_comm_hook()
        if config.compile == "blocks" and compile_blocks(self.model) == 0:
            fact = f"--compile blocks is not usable with {config.model}"
            raise UsageError(explain(fact, "it has no repeated blocks", "leave it out"))
        self.pipeline = Pipeline(
            data,
            make_augments(config, data),
            batch_size=config.batch_size,
            seed=config.seed,
            device=self.device,
            mean=self.mean,
            std=self.std,
            workers=_readers(workers) if config.workers is None else config.workers,
            channels_last=config.channels_last,
            share=(workers.rank, workers.count),
        )
        self.phases = PhaseTimer(self.device)
        self._precision = Precision(config.precision, self.device, config.clip_grad)
        criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        self._step = Step(
            self.called,
            self.optimizer,
            criterion,
            self._precision,
            self.phases,
            config.accumulate,
            workers,
        )
        self._tally = Tally(self.device, self.phases, self.ldb.stats)
        self.paused = self._tally.paused
        self.steps = 0
        self._so_far = SoFar()
        seed_others(config.seed, workers)

    @property
    def loader(self) -> torch.utils.data.DataLoader[Any]:
        """The training batches, before their way to the device."""
        return self.pipeline.loader

    @property
    def tested(self) -> nn.Module:
        """What is tested and exported: the average of the weights, where there is one."""
        return self.model if self.ema is None else self.ema.module

    @property
    def steps_done(self) -> int:
        """Steps of the epoch that has begun."""
        return self._so_far.steps

    @property
    def samples_done(self) -> int:
        """Images of the epoch that has begun."""
        return self._so_far.samples

    def steps_in(self, epoch: int) -> int:
        """Optimizer steps of one epoch."""
        size = self.config.batch_size
        if self._drops(epoch):
            size = max(1, round(size * self.config.dropping.batch_scale))
        share = min(1.0, self.config.epochs - epoch)  # of the last one, perhaps
        return max(1, round(self._samples // size * share))

    def begin_anew(self) -> None:
        """Forget how far the epoch that has begun is."""
        self._so_far = SoFar()

    def train_epoch(
        self, epoch: int, on_step: OnStep | None = None, on_test: OnStep | None = None
    ) -> EpochMetrics:
        """Train for one epoch, or for the rest of one that a checkpoint began, and test.

        Args:
            epoch: counted from 0.
            on_step: called after every step with its number of images; it may call `state_dict`,
                and what it raises leaves a state from which training can go on.
            on_test: the same for batches of the test.

        Raises:
            Diverged: the loss is no number any more.
        """
        if self._so_far.epoch != epoch:
            self._so_far = SoFar(epoch)
        reset_peak_memory(self.device)
        if self._so_far.steps < self.steps_in(epoch):  # else only the test is left to do
            with self._tally.counting(self._so_far):
                self._train(self._so_far, on_step)
        metrics = self._metrics(self._so_far, on_test)
        self._so_far = SoFar(epoch + 1)
        return metrics

    def _train(self, so_far: SoFar, on_step: OnStep | None) -> None:
        epoch = so_far.epoch
        large = self._drops(epoch) and self.config.dropping.batch_scale > 1
        last = self.steps_in(epoch) - 1
        self.model.train()
        self.pipeline.set_epoch(epoch, so_far.samples)
        self.phases.start()
        for batch in self.ldb.epoch(self.loader, epoch):
            images, targets = self.pipeline(batch)
            count = len(images) * self.workers.count
            self.phases.mark("data")
            # The rate at the middle of the batch: neither 0 first nor 0 last, and the mean of what
            # the parts of a doubled batch would have had.
            seen = epoch * self._samples + so_far.samples + count / 2
            self._schedule.step_update(seen)
            so_far.lr_last = float(self.optimizer.param_groups[0]["lr"])
            if so_far.steps == 0:
                so_far.lr = so_far.lr_last
            if so_far.steps == last:
                so_far.lr_factor = self.ldb.stats()["lr_factor"]
            self._tally.add(self._step(images, targets, large), count)
            self.steps += 1
            if self.ema is not None:
                self.ema.update(self.model, step=self.steps)
            if on_step is not None:
                on_step(count)
            if so_far.steps > last and epoch + 1 > self.config.epochs:
                break  # the run ends in the middle of this epoch
            self.phases.start()

    def _metrics(self, so_far: SoFar, on_test: OnStep | None) -> EpochMetrics:
        loss, correct = self._sums()
        train_loss, train_correct = loss / so_far.samples, correct / so_far.samples
        peak = peak_memory(self.device)
        share_buffers(self.tested, self.workers)
        batches = _watched(self.pipeline.test_batches(), on_test)
        with self._precision.autocast():
            tested = score(self.tested, batches, self.device, self.workers.summed)
        if not (math.isfinite(train_loss) and math.isfinite(tested.loss)):
            bad = tested.loss if math.isfinite(train_loss) else train_loss
            fact = f"the loss is {bad} in epoch {so_far.epoch + 1}"
            raise Diverged(explain(fact, "training diverged", "use a smaller --lr"))
        if so_far.skipped == so_far.steps:
            fact = f"no step of epoch {so_far.epoch + 1} was made"
            cause = "all gradients overflowed, and the loss scaling skipped them"
            cure = "use --precision bf16 or a smaller --lr"
            warnings.warn(explain(fact, cause, cure), stacklevel=2)
        drops = self._drops(so_far.epoch)
        return EpochMetrics(
            epoch=so_far.epoch + 1,
            mode=self._mode(so_far.epoch),
            steps=so_far.steps,
            batch_size=math.ceil(so_far.samples / so_far.steps),
            parts=self._step.parts_of_large
            if drops and self.config.dropping.batch_scale > 1
            else self._step.parts,
            lr=so_far.lr,
            lr_last=so_far.lr_last,
            lr_factor=so_far.lr_factor,
            share_dropped=so_far.share_dropped,
            skipped=so_far.skipped,
            train_loss=train_loss,
            train_accuracy=100 * train_correct,
            test_loss=tested.loss,
            test_accuracy=tested.accuracy,
            seconds=so_far.seconds,
            images_per_second=so_far.samples / so_far.seconds,
            phases=so_far.phases,
            peak_memory_mib=peak,
            drop_chances=self._decided(),
            sent_mib=None if so_far.sent is None else so_far.sent / so_far.steps / 2**20,
        )

    def _sums(self) -> tuple[float, float]:
        """Loss and right answers of the epoch so far, of all workers together."""
        so_far = self._so_far
        mine = torch.tensor([so_far.loss, so_far.correct], dtype=torch.float64)
        loss, correct = self.workers.summed(mine).tolist()
        return loss, correct

    def _decided(self) -> dict[str, float] | None:
        """The chances of layers to drop, where they change as the training goes on."""
        if self.config.dropping.strategy != "adaptive" or not self._dropping.ever_drops:
            return None
        chances = self.ldb.stats()["drop_chances"]
        return {name: round(chance, 4) for name, chance in chances.items()}

    def state_dict(self) -> dict[str, Any]:
        """All that decides how training goes on, in tensors and plain values.

        It may be called after any step, from ``on_step``, and between epochs; by all workers, and
        the first one's can be loaded by any number of them.
        """
        self._tally.settle()
        loss, correct = self._sums()
        generators, *others = self.workers.gathered(generator_states(self.device))
        return {
            "model": model_state(self.model),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": optimizer_state(self.optimizer),
            "scaler": self._precision.scaler.state_dict(),
            "ldb": self.ldb.state_dict(),
            "steps": self.steps,
            "parts_of_large": self._step.parts_of_large,
            "so_far": asdict(self._so_far) | {"loss": loss, "correct": correct},
            "generators": generators,
            "other_generators": others,
            "mean": self.mean,
            "std": self.std,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, bit for bit on the same machine.

        Raises:
            UsageError: the state is of another run.
        """
        try:
            load_model_state(self.model, state["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"])
            load_optimizer_state(self.optimizer, state["optimizer"])
            self._precision.scaler.load_state_dict(state["scaler"])
            self.ldb.load_state_dict(state["ldb"])
            self._so_far = SoFar(**state["so_far"])
            if not self.workers.first:  # the sums of all are in the first one's
                self._so_far.loss = self._so_far.correct = 0.0
            self.steps, self._step.parts_of_large = state["steps"], state["parts_of_large"]
            generators = [state["generators"], *state.get("other_generators", ())]
            if self.workers.rank < len(generators):
                set_generator_states(generators[self.workers.rank], self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            fact = "the checkpoint does not fit this run"
            cure = "resume with the release of layerdropback that wrote it"
            raise UsageError(explain(fact, reason, cure)) from error

    def whole_model(self) -> nn.Module:
        """What is tested, in one piece; all workers must ask."""
        if self.config.parallel != "fsdp":
            return self.tested
        state = model_state(self.model)
        with torch.random.fork_rng(devices=[]):  # the fresh weights are thrown away
            model, _ = build_model(self.spec)
        model.load_state_dict(state)
        return model

    def _drops(self, epoch: int) -> bool:
        """Whether a whole epoch drops."""
        schedule = self._dropping
        return schedule.period_steps is None and schedule.is_drop_epoch(epoch)

    def _mode(self, epoch: int) -> str:
        schedule = self._dropping
        if schedule.ever_drops and schedule.period_steps is not None:
            return "mixed"
        return "drop" if schedule.is_drop_epoch(epoch) else "full"


def run_length(config: TrainConfig, samples: int) -> float:
    """What the dropping's schedule takes for the length of a run.

    Args:
        config: of the run.
        samples: images in an epoch.

    Example:
        >>> run_length(TrainConfig(epochs=4), samples=640)
        4
        >>> by_steps = TrainConfig.from_dict({"epochs": 4, "batch_size": 64, "period_steps": 5})
        >>> run_length(by_steps, samples=640)
        40.0
    """
    if config.dropping.period_steps is None:
        return config.epochs
    return max(1.0, samples // config.batch_size * float(config.epochs))


def find_device(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        UsageError: it is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        fact, cause = "--device cuda is not usable", "torch sees no GPU"
        raise UsageError(explain(fact, cause, "use --device cpu"))
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def _require_batches(config: TrainConfig, images: int) -> None:
    dropping = config.dropping
    scale = dropping.batch_scale if dropping.settings().schedule.ever_drops else 1
    if config.batch_size * max(1, scale) > images:
        times = f" times --batch-scale {scale:g}" if scale > 1 else ""
        fact = f"--batch-size {config.batch_size}{times} is more than the {images} training images"
        raise UsageError(explain(fact, "there would be no batch", "use a smaller one"))


def _normalisation(
    config: TrainConfig, model: nn.Module, data: ImageData
) -> tuple[list[float], list[float]]:
    """Those with which the first weights were trained, or the data's own."""
    known = None
    if config.pretrained:
        known = normalisation(model)
    elif config.init is not None:
        known = initial_normalisation(config.init)
    if known is not None and len(known[0]) == data.channels:
        return known
    return data.statistics()


def _readers(workers: Workers) -> int:
    """Processes that read images for this one: as many as it has cores, with others beside it."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, cores // workers.local_count)


def _average(model: nn.Module, decay: float) -> Any:
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=decay, use_warmup=True)


def _watched(
    batches: Iterator[tuple[Tensor, Tensor]], on_test: OnStep | None
) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in batches:
        if on_test is not None:
            on_test(len(images))
        yield images, labels
