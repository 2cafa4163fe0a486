"""What an epoch tells."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .phases import PHASES


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch did.

    One that another release tells of may have None in place of any number but `epoch`.

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
        others: what another release tells beside these, by name.
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
    others: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], number: int) -> "EpochMetrics":
        """The inverse of `as_dict`, for a row of any release.

        Args:
            row: metrics by name; those of other names that JSON can hold become `others`.
            number: of the epoch, counted from 1, for a row that does not tell it.

        Example:
            >>> metrics = EpochMetrics.from_dict({"train_loss": 0.5, "norm": 2.0}, 7)
            >>> metrics.epoch, metrics.train_loss, metrics.test_loss, metrics.others
            (7, 0.5, None, {'norm': 2.0})
        """
        names = {entry.name for entry in fields(cls)} - {"others"}
        known: dict[str, Any] = dict.fromkeys(names) | {"phases": dict.fromkeys(PHASES)}
        known |= {name: value for name, value in row.items() if name in names and _plain(value)}
        others = {
            name: value
            for name, value in row.items()
            if name not in names and isinstance(name, str) and _plain(value)
        }
        if known["epoch"] is None:
            known["epoch"] = number
        return cls(**known, others=others)

    def as_dict(self) -> dict[str, Any]:
        """For a line of ``metrics.jsonl``."""
        values = asdict(self)
        values |= values.pop("others")
        for name in ("sent_mib", "backward_saved"):  # of some runs alone
            if values[name] is None:
                del values[name]
        return values


def _plain(value: object) -> bool:
    """Whether a line of JSON can hold it, and no number in it is infinite or none."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
