"""A folder that is as it was, where what was to be written there is refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import LayerDropBackError, WorkerError

LOCK = ".lock"


def absent(folder: Path) -> list[Path]:
    """A folder and those that it is in, as far as they are not there, the innermost first.

    Example:
        >>> absent(Path("."))
        []
    """
    return [path for path in (folder, *folder.parents) if not path.exists()]


@contextmanager
def nothing_left(
    folder: Path,
    names: Sequence[str] = (),
    keep: str | None = None,
    new: Sequence[Path] | None = None,
) -> Iterator[None]:
    """While a run begins in a folder; where it is refused, what it has made there goes again.

    What was there before stays, and so does all that others put there.

    Args:
        folder: need not be there.
        names: of files that the run writes before it has anything to lose; its lock is one.
        keep: a pattern; where a file matches it the run has got somewhere, and all stays.
        new: folders that go, too, if nothing else is in them; those that are not there by default.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as home, suppress(LayerDropBackError):
        ...     with nothing_left(Path(home, "new")):
        ...         Path(home, "new").mkdir()
        ...         raise LayerDropBackError("refused")
        >>> Path(home, "new").exists()
        False
    """
    new = absent(folder) if new is None else new
    ours = [folder / name for name in (LOCK, *names) if not (folder / name).exists()]
    try:
        yield
    except WorkerError:  # torchrun starts the workers anew
        raise
    except LayerDropBackError:
        if keep is None or not any(folder.glob(keep)):
            for path in ours:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            for path in new:
                with suppress(OSError):  # there is something else in it
                    path.rmdir()
        raise
