"""One process at a time in a run's folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UsageError, explain
from .leaving import LOCK

try:
    import fcntl
except ImportError:  # Windows has no such locks; there it is left to the user
    fcntl = None  # type: ignore[assignment]


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the system lets go of it when the process ends, however it ends.

    Raises:
        UsageError: another process holds it.
    """
    with (folder / LOCK).open("w") as file:
        if hasattr(os, "register_at_fork"):  # a loader's worker that outlives us must not hold it
            os.register_at_fork(after_in_child=file.close)
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fact, cause = f"{folder} is in use", "another process is training there"
                cure = "wait for it, or give another --out"
                raise UsageError(explain(fact, cause, cure)) from None
            except OSError:  # a file system without locks
                pass
        yield
