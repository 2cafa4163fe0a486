"""Files that are there whole or not at all, also when the machine stops."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def replace_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place, and put it there in one move once it is on the disk.

    Args:
        path: the file; what is there stays until the new one is complete.
        write: writes the whole file at the path it is given (`path` with ``.partial`` after it).

    Raises:
        OSError: it cannot be written. Whatever is raised, `write`'s own errors and Ctrl-C included,
            nothing is left beside `path`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     replace_atomically(Path(folder, "a.txt"), lambda file: file.write_text("b"))
        ...     [(file.name, file.read_text()) for file in Path(folder).iterdir()]
        [('a.txt', 'b')]
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        write(partial)
        partial.chmod(mode)  # safetensors makes its files for the owner alone
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk's has none
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write a text in UTF-8; see `replace_atomically`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder, "a.txt"), "b")
        ...     Path(folder, "a.txt").read_text()
        'b'
    """

    def write(partial: Path) -> None:
        partial.write_text(text, encoding="utf-8")

    replace_atomically(path, write)


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk, where the system can."""
    with suppress(OSError):  # Windows and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
