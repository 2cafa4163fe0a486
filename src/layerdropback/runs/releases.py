"""What another release of this library wrote: used where it can be, else told as that."""

from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UsageError, explain
from .parsing import of_json


def writer(release: Any) -> str:
    """Say which release wrote a file.

    Args:
        release: as the file or its run names it; None where neither does.

    Example:
        >>> writer("0.0.9").replace(__version__, "1.2.3")
        'release 0.0.9 of layerdropback wrote it, and this is 1.2.3'
    """
    if release is None:
        return f"another release of layerdropback than this one, {__version__}, wrote it"
    if release == __version__:
        # A checkout, perhaps: its number changes more seldom than its files do.
        return f"another release of layerdropback wrote it, though named {release} as this one is"
    return f"release {release} of layerdropback wrote it, and this is {__version__}"


def cannot_use(path: Path, problem: str, release: Any) -> UsageError:
    """An error for a file that stays where it is.

    Args:
        path: the file.
        problem: what this release misses in it, or does not know.
        release: see `writer`.

    Example:
        >>> str(cannot_use(Path("x.pt"), "it has no part 'run'", "0.0.9")).partition(" Cure: ")[2]
        'use that release; nothing was changed.'
    """
    cause = f"{writer(release)}: {problem}"
    which = "that release" if release not in (None, __version__) else "the release that wrote it"
    return UsageError(explain(f"{path} cannot be used", cause, f"use {which}; nothing was changed"))


def begun_by(machine: Path) -> str | None:
    """The release that began a run, by its ``machine.json``; None where that does not say another.

    Example:
        >>> begun_by(Path("missing.json")) is None
        True
    """
    try:
        found = of_json(machine.read_text(encoding="utf-8"))["versions"]["layerdropback"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and found != __version__ else None
