"""What an epoch has done so far: counted without waiting for the device, kept in checkpoints."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

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
        skipped: steps that the loss scaling skipped, as their gradients were not finite.
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
    lr: float = 0.0
    lr_last: float = 0.0
    lr_factor: float = 1.0
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


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
