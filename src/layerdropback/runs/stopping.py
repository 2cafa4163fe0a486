"""SIGTERM and Ctrl-C: asked for at any moment, obeyed between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Stopped(KeyboardInterrupt):
    """The run was asked to stop, and did.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def code(self) -> int:
        """The exit code that a shell expects: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


class Stopping:
    """While entered, the first SIGINT or SIGTERM is only noted; a second one acts at once.

    Outside the main thread, where Python allows no handlers, it notes nothing.

    Args:
        patient: a second one is no more than the first: torchrun hands on to its workers what the
            terminal has sent to them already. It kills them when they take too long.

    Example:
        >>> with Stopping() as stopping:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stopping.requested == signal.SIGTERM
        True
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested: int | None = None
        self._patient = patient
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Between two pieces of work.

        Raises:
            Stopped: a signal has come.
        """
        if self.requested is not None:
            raise Stopped(self.requested)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:  # as for a job in the background
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        if not self._patient:
            self._put_back()

    def _put_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
