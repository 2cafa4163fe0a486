"""Arms of `trainer_minilm` that take turns at every step, and the clock of each."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainerCallback

from layerdropback import Strategy

# Steps that are left out of the times: a warm-up, in the first ten the library looks at what it
# does, and then the bytes are counted.
WARM, COUNTED = 12, 3


@dataclass
class Arm:
    """A way to train; `strategy` None drops nothing."""

    name: str
    strategy: Strategy | None = None
    lora: bool = False
    rate: float = 1e-4
    seconds: list[float] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    accuracy: float = 0.0


class Turns:
    """Whose turn it is, among threads of which one runs."""

    def __init__(self, count: int):
        self._waiting = threading.Condition()
        self._running = list(range(count))

    def next(self, mine: int) -> None:
        """Let the others have their turns, and wait for one."""
        with self._waiting:
            if self._running[0] == mine:
                self._running.append(self._running.pop(0))
                self._waiting.notify_all()
            self._waiting.wait_for(lambda: self._running[0] == mine)

    def leave(self, mine: int) -> None:
        """Take no more turns."""
        with self._waiting:
            self._running.remove(mine)
            self._waiting.notify_all()


class Clock(TrainerCallback):
    """Times an arm's steps, and counts what some of their forward passes keep."""

    def __init__(self, arm: Arm, wait: Callable[[], None]):
        self._arm, self._wait = arm, wait
        self._number, self._began = 0, 0.0
        self._hooks: Any = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Wait for a turn."""
        self._wait()
        if WARM <= self._number < WARM + COUNTED:
            self._arm.saved.append(0)
            self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda t: t)
            self._hooks.__enter__()
        self._began = time.perf_counter()

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            self._arm.saved[-1] += tensor.nbytes
        return tensor

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """The passes are over."""
        if self._hooks is not None:
            self._hooks.__exit__()
            self._hooks = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        if self._number >= WARM + COUNTED:
            self._arm.seconds.append(time.perf_counter() - self._began)
        self._number += 1
