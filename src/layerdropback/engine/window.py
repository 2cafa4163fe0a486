"""What holds from one optimizer step to the next, and how far a run has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ..strategies.odds import Mask


@dataclass(frozen=True)
class Window:
    """What is in force from one optimizer step to the next, however many batches lie between."""

    mask: Mask | None = None  # None in a full step
    parameters: tuple[nn.Parameter, ...] = ()  # of the dropped layers
    switched: tuple[nn.Module, ...] = ()  # their outputs are detached
    lr_factor: float = 1.0
    saved: float | None = 0.0  # of the backward pass's cost; None: not known


FULL = Window()


@dataclass(frozen=True)
class Decision:
    """What a window's kind and mask depend on besides its number."""

    records: bool = False  # something must be learned first, in a full step
    heads: frozenset[int] | None = None  # kept because they come last; None in a full step
    can_drop: bool = True  # any layer can, as things stand


@dataclass
class Seen:
    """What has happened in a window so far."""

    forward: bool = False  # the model was called, with gradients
    backward: bool = False  # a backward pass of it began
    uncut: bool = False  # an argument wanted a gradient, so that no output was detached
    carried: bool = False  # an epoch began while gradients waited; no pass since
    stepped: set[int] = field(default_factory=set)  # the ``id`` of each optimizer that has
    decision: Decision = Decision()  # what the window was opened by
    foreseen: Window | None = None  # what a recorded window is from its step on


_SAVED = ("epoch", "step", "drop_steps", "epoch_steps", "epoch_dropped", "epoch_saved")


class Counters:
    """Counts steps, epochs and what was dropped."""

    def __init__(self, layers: int):
        self.epoch: int | None = None  # the one that is open, or the last
        self.in_epoch = False
        self.step = self.drop_steps = self.epoch_steps = 0
        self.epoch_dropped = 0.0  # sum over the epoch's steps of the share of dropped layers
        # Sum over the epoch's steps of what was saved of the backward pass; None: not known of one.
        self.epoch_saved: float | None = 0.0
        self.times_dropped = np.zeros(layers, dtype=np.int64)
        self._restarted = False  # and no epoch has begun since

    @property
    def share(self) -> float:
        """Mean share of the reached layers dropped per step of the current or last epoch."""
        return self.epoch_dropped / max(1, self.epoch_steps)

    @property
    def saved(self) -> float | None:
        """Mean share of the backward pass saved per step of the current or last epoch."""
        return None if self.epoch_saved is None else self.epoch_saved / max(1, self.epoch_steps)

    def goes_on(self, epoch: int) -> bool:
        """Whether the epoch that begins is one that was saved midway."""
        return epoch == self.epoch and self._restarted

    def begin_epoch(self, epoch: int) -> None:
        """Count the epoch's steps from 0; one that was saved midway goes on."""
        if not self.goes_on(epoch):
            self.epoch_steps, self.epoch_dropped, self.epoch_saved = 0, 0.0, 0.0
        self.epoch, self.in_epoch, self._restarted = epoch, True, False

    def count(self, mask: Mask | None, reached: int, saved: float | None = 0.0) -> None:
        """Count a step, in which the loss reached so many layers.

        The mask is None in a full one, and `saved` (of the backward pass's cost) where not known.
        """
        self.step += 1
        self.epoch_steps += 1
        if mask is not None:
            self.drop_steps += 1
            self.times_dropped += mask
            self.epoch_dropped += int(np.count_nonzero(mask)) / max(1, reached)
        if saved is None or self.epoch_saved is None:
            self.epoch_saved = None
        else:
            self.epoch_saved += saved

    def to_state(self) -> dict[str, Any]:
        """Plain numbers and lists, for a checkpoint."""
        saved = {name: getattr(self, name) for name in _SAVED}
        return saved | {"times_dropped": self.times_dropped.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Counters":
        """The inverse of `to_state`; other keys are left alone."""
        made = cls(len(state["times_dropped"]))
        for name in _SAVED:
            setattr(made, name, state[name])
        made.times_dropped[:] = state["times_dropped"]
        made._restarted = True
        return made
