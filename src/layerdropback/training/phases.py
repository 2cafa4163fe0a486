"""Where a step's time goes."""

import time
from collections import deque
from typing import Literal

import torch

Phase = Literal["data", "forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")


class PhaseTimer:
    """Sums the seconds that the steps of an epoch spend in each phase.

    On a GPU the phases are timed there by events, for which nothing waits; but ``"data"``, which is
    the host's time until the batch is there, and may pass while the GPU still works. So the
    phases' sum may be more than the wall clock there; what lies outside of them makes it less.

    Args:
        device: of the model.

    Example:
        >>> timer = PhaseTimer(torch.device("cpu"))
        >>> timer.start()
        >>> for phase in PHASES:
        ...     timer.mark(phase)
        >>> list(timer.totals())
        ['data', 'forward', 'backward', 'optimizer']
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._on_gpu = device.type == "cuda"
        self._pending: deque[tuple[Phase, torch.cuda.Event, torch.cuda.Event]] = deque()
        self._host: float | None = None
        self.reset()

    def start(self) -> None:
        """A step begins; the time since the last mark belongs to no phase."""
        self._host = time.perf_counter()
        if self._on_gpu:
            self._event = self._record()

    def mark(self, phase: Phase) -> None:
        """A phase ends; it began with the last mark, or with `start`.

        Args:
            phase: one of `PHASES`; it may come several times in a step.
        """
        if self._host is None:
            raise RuntimeError("mark() comes after start()")
        before, self._host = self._host, time.perf_counter()
        if not self._on_gpu:
            self._totals[phase] += self._host - before
            return
        last, self._event = self._event, self._record()
        if phase == "data":
            self._totals[phase] += self._host - before
        else:
            self._pending.append((phase, last, self._event))
        self._collect(wait=False)  # or an epoch's events would pile up

    def totals(self) -> dict[str, float]:
        """Seconds in each phase since the last `reset`; waits for the GPU."""
        self._collect(wait=True)
        return {phase: self._totals[phase] for phase in PHASES}

    def reset(self) -> None:
        """Begin to count anew."""
        self._pending.clear()
        self._totals = dict.fromkeys(PHASES, 0.0)

    def _record(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _collect(self, wait: bool) -> None:
        while self._pending:
            phase, before, after = self._pending[0]
            if wait:
                after.synchronize()
            elif not after.query():  # type: ignore[no-untyped-call]
                return
            self._totals[phase] += before.elapsed_time(after) / 1000  # it tells milliseconds
            self._pending.popleft()
