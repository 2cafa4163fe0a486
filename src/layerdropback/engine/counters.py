"""How far a run has come, and what it has dropped so far."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..strategies.odds import Mask


class Counters:
    """Counts steps, epochs and what was dropped.

    Args:
        layers: how many the model has.

    Attributes:
        epoch: the one that is open, or the last; None before the first.
        step: optimizer steps since the start.
        drop_steps: those of them that dropped something or could have.
        epoch_steps: steps of the epoch.
        epoch_dropped: sum over the epoch's steps of the share of layers that was dropped.
        times_dropped: for each layer, shape ``(layers,)``.

    Example:
        >>> counters = Counters(layers=2)
        >>> counters.count(np.array([True, False]), reached=2)
        >>> counters.step, counters.share
        (1, 0.5)
    """

    def __init__(self, layers: int):
        self.epoch: int | None = None
        self.step = 0
        self.drop_steps = 0
        self.epoch_steps = 0
        self.epoch_dropped = 0.0
        self.times_dropped = np.zeros(layers, dtype=np.int64)

    @property
    def share(self) -> float:
        """Mean share of the reached layers dropped per step of the current or last epoch."""
        return self.epoch_dropped / max(1, self.epoch_steps)

    def begin_epoch(self) -> None:
        """Count the epoch's steps from 0."""
        self.epoch_steps, self.epoch_dropped = 0, 0.0

    def count(self, mask: Mask | None, reached: int) -> None:
        """A step has ended.

        Args:
            mask: that was in force; None in a full step.
            reached: how many layers the loss reaches.
        """
        self.step += 1
        self.epoch_steps += 1
        if mask is not None:
            self.drop_steps += 1
            self.times_dropped += mask
            self.epoch_dropped += int(np.count_nonzero(mask)) / max(1, reached)

    def to_state(self) -> dict[str, Any]:
        """Plain numbers and lists, for a checkpoint."""
        return dict(vars(self)) | {"times_dropped": self.times_dropped.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Counters":
        """The inverse of `to_state`; other keys are left alone."""
        made = cls(len(state["times_dropped"]))
        for name in ("epoch", "step", "drop_steps", "epoch_steps", "epoch_dropped"):
            setattr(made, name, state[name])
        made.times_dropped[:] = state["times_dropped"]
        return made
