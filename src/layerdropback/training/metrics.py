"""What an epoch did: counted without waiting for the device, and told once it is through."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import Diverged, explain
from .evaluate import Score
from .nonfinite import diverged
from .phases import PhaseTimer


@dataclass
class SoFar:
    """The part of an epoch that is behind us.

    Attributes:
        epoch: counted from 0.
        steps: optimizer steps.
        samples: images.
        loss: sum over the images.
        correct: right answers.
        share_dropped: mean over the steps of the share of layers dropped.
        backward_saved: of the backward pass's FLOPs, the same; None where they are not known.
        sent: bytes of gradients that this process gave to others; None where that is not counted.
        skipped: steps that were not made, as their loss or gradients were not finite.
        lost: of the images, those of steps whose loss was not finite: they count as nothing.
        unreadable: how often an image could not be read, and another was taken.
        lr: the schedule's learning rate in the first step.
        lr_last: and in the last one.
        lr_factor: by which the last step multiplied it.
        seconds: of training.
        phases: seconds of each phase.
    """

    epoch: int = 0
    steps: int = 0
    samples: int = 0
    loss: float = 0.0
    correct: float = 0.0
    share_dropped: float = 0.0
    backward_saved: float | None = None
    sent: int | None = None
    skipped: int = 0
    lost: int = 0
    unreadable: float = 0.0
    lr: float = 0.0
    lr_last: float = 0.0
    lr_factor: float = 1.0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch did.

    Attributes:
        epoch: counted from 1.
        mode: ``"full"`` or ``"drop"``; ``"mixed"`` where periods of steps decide.
        steps: optimizer steps.
        batch_size: images per step.
        parts: in which each batch went through the model.
        lr: the schedule's learning rate in the first step; drop steps multiply it by `lr_factor`.
        lr_last: the schedule's learning rate in the last step.
        lr_factor: see `lr`.
        share_dropped: mean share of the layers that the loss reaches dropped per step.
        skipped: steps that the loss scaling of fp16, or ``--nonfinite skip``, left out.
        train_loss: mean over the epoch, while the weights change.
        train_accuracy: the same, in percent; of mixed images, the larger part counts.
        test_loss: after the epoch.
        test_accuracy: after the epoch, in percent.
        seconds: wall clock of the training part, the device synchronised.
        images_per_second: in the training part.
        phases: seconds of it spent in ``data``, ``forward``, ``backward`` and ``optimizer``.
        sent_mib: mean over the steps of the gradients that each worker gave to others, in MiB; None
            where that is not counted.
        backward_saved: of the backward pass's FLOPs, the mean share that the steps have skipped;
            None where the strategy does not know costs.
        unreadable: images, of training and of testing, that could not be read; None where they are
            not skipped.
        peak_memory_mib: of tensors on a GPU in this epoch; on the CPU of the process until now.
    """

    epoch: int
    mode: str
    steps: int
    batch_size: int
    parts: int
    lr: float
    lr_last: float
    lr_factor: float
    share_dropped: float
    skipped: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    images_per_second: float
    phases: dict[str, float]
    peak_memory_mib: float | None
    sent_mib: float | None = None
    backward_saved: float | None = None
    unreadable: int | None = None

    @classmethod
    def of(cls, so_far: SoFar, sums: tuple[float, float], tested: Score, **known: Any) -> Self:
        """The metrics of an epoch that is through.

        Args:
            so_far: what was counted, by this process.
            sums: of the images' losses, and right answers, of all workers together.
            tested: what the test found.
            **known: the fields that none of these tells.

        Raises:
            Diverged: the loss is no number any more.
        """
        (loss, correct), counted = sums, so_far.samples - so_far.lost
        train_loss = loss / counted if counted else math.nan
        _look_at(so_far, train_loss, tested.loss)
        names = ("steps", "lr", "lr_last", "lr_factor", "share_dropped", "backward_saved")
        known |= {name: getattr(so_far, name) for name in (*names, "skipped", "seconds", "phases")}
        return cls(
            epoch=so_far.epoch + 1,
            batch_size=math.ceil(so_far.samples / so_far.steps),
            train_loss=train_loss,
            train_accuracy=100 * correct / counted,
            test_loss=tested.loss,
            test_accuracy=tested.accuracy,
            images_per_second=so_far.samples / so_far.seconds,
            sent_mib=None if so_far.sent is None else so_far.sent / so_far.steps / 2**20,
            **known,
        )

    def as_dict(self) -> dict[str, Any]:
        """For a line of ``metrics.jsonl``."""
        values = asdict(self)
        for name in ("sent_mib", "backward_saved", "unreadable"):  # of some runs alone
            if values[name] is None:
                del values[name]
        return values


def _look_at(so_far: SoFar, train_loss: float, test_loss: float) -> None:
    epoch = so_far.epoch + 1
    if so_far.lost == so_far.samples:
        fact, cause = f"no loss of epoch {epoch} is a number", "all of its steps were skipped"
        raise Diverged(explain(fact, cause, "use a smaller --lr, or look at the images"))
    if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
        bad = test_loss if math.isfinite(train_loss) else train_loss
        fact = f"the loss is {bad} in epoch {epoch}"
        raise diverged(fact)
    if so_far.skipped == so_far.steps:
        fact = f"no step of epoch {epoch} was made"
        cause = "all gradients overflowed or were no numbers, and such steps are skipped"
        cure = "use a smaller --lr, or --precision bf16 where it is fp16"
        warnings.warn(explain(fact, cause, cure), stacklevel=3)


class Tally:
    """Counts an epoch that may have begun in another process.

    Args:
        device: of the model.
        phases: times the phases of the steps.
        stats: LayerDropBack's, of the epoch and the run so far.
    """

    def __init__(
        self, device: torch.device, phases: PhaseTimer, stats: Callable[[], dict[str, Any]]
    ):
        self._device, self._phases, self._stats = device, phases, stats
        self._totals = torch.zeros(2, dtype=torch.float64, device=device)
        self._running = False
        self._so_far = self._base = SoFar()
        self._since, self._made = 0.0, 0
        self._sent: int | None = None

    @contextmanager
    def counting(self, so_far: SoFar) -> Iterator[None]:
        """While an epoch is trained; `so_far` is brought up to date by `settle`."""
        self._so_far, self._base = so_far, SoFar(**vars(so_far))
        self._totals.copy_(torch.tensor([so_far.loss, so_far.correct], dtype=torch.float64))
        self._phases.reset()
        stats = self._stats()
        self._made, self._sent = stats["step"], stats["gradient_bytes"]
        self._since, self._running = self._clock(), True
        try:
            yield
        finally:
            with suppress(RuntimeError):  # of a device that failed; that error is on its way
                self.settle()
            self._running = False

    def add(self, totals: Tensor, images: int) -> None:
        """A step is done.

        Args:
            totals: sum of the losses and right answers, shape ``(2,)``, on the device.
            images: in its batch.
        """
        self._totals += totals
        self._so_far.samples += images
        self._so_far.steps += 1

    def settle(self) -> None:
        """Bring `so_far` up to date; waits for the device."""
        if not self._running:
            return
        so_far, base = self._so_far, self._base
        now = self._clock()
        so_far.seconds += now - self._since
        self._since = now
        so_far.loss, so_far.correct = self._totals.tolist()
        stats = self._stats()
        so_far.share_dropped = stats["share_dropped"]
        so_far.backward_saved = stats["backward_saved"]
        made = stats["step"] - self._made  # a skipped step never comes to the optimizer
        so_far.skipped = base.skipped + (so_far.steps - base.steps) - made
        if self._sent is not None:
            so_far.sent = (base.sent or 0) + stats["gradient_bytes"] - self._sent
        so_far.phases = {
            phase: base.phases.get(phase, 0.0) + seconds
            for phase, seconds in self._phases.totals().items()
        }

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside is not counted."""
        self.settle()
        try:
            yield
        finally:
            self._since = self._clock()

    def _clock(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
