"""What a benchmark says that was stopped and goes on by itself when it is called again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from layerdropback.runs.stopping import Stopped


@contextmanager
def goes_on(command: str) -> Iterator[None]:
    """Say which command goes on, in place of a traceback.

    Raises:
        SystemExit: the process was asked to stop.
    """
    try:
        yield
    except Stopped as stopped:
        print(f"go on with: {command}", flush=True)
        sys.exit(stopped.code)
