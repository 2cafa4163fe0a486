"""One optimizer step on one batch, which goes through the model in as many parts as fit."""

import gc
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..errors import explain
from ..runs.machine import is_out_of_memory
from ..runs.randomness import generator_states, set_generator_states
from .nonfinite import Guard
from .parallel import reducing
from .phases import PhaseTimer
from .precision import Precision
from .workers import ALONE, Workers

Criterion = Callable[[Tensor, Tensor], Tensor]


class Step:
    """Forward, backward and update.

    A batch that a batch factor has made larger may not fit in memory. Then what the failed attempt
    has changed (gradients, buffers, random numbers) is put back, and the same batch is accumulated
    in twice as many parts: the same update up to rounding, but for BatchNorm's statistics, which
    are those of the parts.

    Replicas of a model try a first large batch without sending anything, and agree on the parts:
    memory may be short for one alone. Shards cannot, as even their forward pass waits for others.

    Args:
        model: in training mode when called.
        optimizer: of the model's parameters.
        criterion: mean loss of outputs and targets.
        precision: see `Precision`.
        phases: told when each phase ends.
        parts: of every batch, at least.
        workers: that make the step together with this process.
        guard: looks at the step's numbers, see `Guard`; by default nothing does.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Criterion,
        precision: Precision,
        phases: PhaseTimer,
        parts: int,
        workers: Workers = ALONE,
        guard: Guard | None = None,
    ):
        self._model, self._optimizer, self._criterion = model, optimizer, criterion
        self._precision, self._phases, self._workers = precision, phases, workers
        self._agreed = False
        self.guard = guard or Guard(model, skips=False)
        self.parts = parts
        self.parts_of_large = parts  # kept in checkpoints: a resumed run need not fail again

    def __call__(self, images: Tensor, targets: Tensor, large: bool) -> Tensor:
        """Make one step.

        Args:
            images: shape ``(batch, channels, height, width)``.
            targets: labels, shape ``(batch,)``, or probabilities, ``(batch, classes)``.
            large: whether the batch is a scaled one, which may be split further.

        Returns:
            Sum of the losses and number of right answers, float64 of shape ``(2,)`` on the device;
            nothing has waited for them.
        """
        self.guard.begin()
        if not large:
            totals = self._run(images, targets, self.parts)
        elif self._workers.count == 1:
            totals = self._split(images, targets, counts=True)
        else:
            if not self._agreed and isinstance(self._model, DistributedDataParallel):
                self._split(images, targets, counts=False)
                self._agreed = True
            totals = self._run(images, targets, self.parts_of_large)
        self._precision.step(self._model, self._optimizer, self.guard.good(totals))
        self._phases.mark("optimizer")
        return totals

    def _split(self, images: Tensor, targets: Tensor, counts: bool) -> Tensor:
        """Run a large batch in as few parts as fit on every worker.

        An attempt that does not fit leaves no trace, nor does any where none `counts`.
        """
        before = _Before(self._model, images.device)
        while True:
            try:
                reason, totals = "", self._run(images, targets, self.parts_of_large, counts)
            except (RuntimeError, MemoryError) as error:
                reason = self._reason_to_split(error, images)
            # Out of the except clause: the error held the failed attempt's tensors.
            if reason or not counts:
                before.restore(self._model, self._optimizer)
            reasons = [found for found in self._workers.gathered(reason) if found]
            if not reasons:
                return totals
            self._split_further(images, reasons[0])

    def _reason_to_split(self, error: BaseException, images: Tensor) -> str:
        """What there was too little memory for; any other error is raised again."""
        # Two images a part are the least that BatchNorm can work on.
        if not is_out_of_memory(error) or self.parts_of_large * 4 > len(images):
            raise error
        return str(error).partition("\n")[0].rstrip(".") or type(error).__name__

    def _split_further(self, images: Tensor, reason: str) -> None:
        self.parts_of_large *= 2
        count = len(images) * self._workers.count
        fact = f"a drop epoch's batch of {count} images does not fit in memory"
        cure = f"it is now accumulated in {self.parts_of_large} parts; a smaller --batch-scale"
        warnings.warn(explain(fact, reason, f"{cure} would spare that"), stacklevel=4)

    def _run(self, images: Tensor, targets: Tensor, parts: int, reduces: bool = True) -> Tensor:
        totals = torch.zeros(2, dtype=torch.float64, device=images.device)
        pieces = zip(_pieces(images, parts), _pieces(targets, parts), strict=True)
        for number, (part, wanted) in enumerate(pieces, start=1):
            with reducing(self._model, reduces and number == parts):
                with self._precision.autocast():
                    outputs = self._model(part)
                    loss = self._criterion(outputs.float(), wanted)
                self._phases.mark("forward")
                # A whole batch's gradient is the mean over its images, however it is cut.
                self._precision.backward(loss if parts == 1 else loss * (len(part) / len(images)))
                self._phases.mark("backward")
            labels = wanted if wanted.ndim == 1 else wanted.argmax(1)
            # On the device: asking for a number here would make it wait in every step.
            totals[0] += loss.detach() * len(part)
            totals[1] += (outputs.detach().argmax(1) == labels).sum()
        return totals


def _pieces(batch: Tensor, parts: int) -> tuple[Tensor, ...]:
    return batch.tensor_split(parts) if parts > 1 else (batch,)


class _Before:
    """What a failed attempt changes, as it was."""

    def __init__(self, model: nn.Module, device: torch.device):
        self._buffers = [buffer.clone() for buffer in model.buffers()]
        self._device, self._generators = device, generator_states(device)

    def restore(self, model: nn.Module, optimizer: Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        for buffer, value in zip(model.buffers(), self._buffers, strict=True):
            buffer.copy_(value)
        set_generator_states(self._generators, self._device)
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
