"""Paths as the user writes them."""

from pathlib import Path

from ..errors import UsageError, explain


def home(path: Path, flag: str) -> Path:
    """Put the home folder in the place of ``~``.

    Args:
        path: as it was given.
        flag: what stands before it, for the error.

    Raises:
        UsageError: it is the home of somebody who is not here.

    Example:
        >>> home(Path("runs/mine"), "--out ")
        PosixPath('runs/mine')
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        fact = f"{flag}{path} is not usable"
        raise UsageError(explain(fact, str(error).rstrip("."), "write the path out")) from None
