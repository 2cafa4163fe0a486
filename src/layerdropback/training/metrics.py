"""What an epoch tells."""

from dataclasses import asdict, dataclass
from typing import Any


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
        skipped: steps that the loss scaling of fp16 skipped.
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

    def as_dict(self) -> dict[str, Any]:
        """For a line of ``metrics.jsonl``."""
        values = asdict(self)
        for name in ("sent_mib", "backward_saved"):  # of some runs alone
            if values[name] is None:
                del values[name]
        return values
