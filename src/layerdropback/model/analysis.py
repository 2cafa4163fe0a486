"""Whether a model is called only to be looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

_running = 0


def is_running() -> bool:
    """Whether an analysis calls a model, so that hooks stand aside."""
    return _running > 0


@contextmanager
def running() -> Iterator[None]:
    """While an analysis calls a model."""
    global _running
    _running += 1
    try:
        yield
    finally:
        _running -= 1
