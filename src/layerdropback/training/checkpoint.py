"""A run's whole state on the disk: never half written, never believed unless it is intact."""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError, explain
from .atomic import replace_atomically, sync_folder
from .memory import is_out_of_memory

FORMAT = 1

# The checksum is a part of the name: no second file that could be of another moment, and the file
# itself stays one that torch.load reads.
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")
_UNNAMED = "unnamed.pt"


class Checkpoints:
    """The checkpoints in one folder, the last few of which are kept.

    A checkpoint is written beside its place, brought to the disk, given its name in one move, and
    only then is an older one removed; so whenever the machine stops there is a whole one.

    Args:
        folder: made with the first checkpoint.
        keep: how many.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(Path(folder), keep=1)
        ...     for step in (1, 2):
        ...         path = checkpoints.save({"weight": torch.ones(2)}, step)
        ...     len(list(Path(folder).iterdir())), checkpoints.load(lambda state: None)[0]["step"]
        (1, 2)
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self._keep = folder, keep

    def save(self, state: Mapping[str, Any], step: int) -> Path:
        """Write a state, made of tensors and plain values.

        Args:
            state: what `load` shall return.
            step: orders the checkpoints: optimizer steps since the start.

        Raises:
            OSError: it cannot be written; those that are there stay.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unnamed = self.folder / _UNNAMED
        content = {"format": FORMAT, "step": step, **state}
        replace_atomically(unnamed, lambda partial: _write(content, partial))
        path = self.folder / f"step-{step:09d}-{_checksum(unnamed)}.pt"
        os.replace(unnamed, path)
        sync_folder(self.folder)
        for old in self._found()[: -self._keep]:
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def load(
        self, refuse: Callable[[Mapping[str, Any]], str | None]
    ) -> tuple[dict[str, Any], Path, list[str]] | None:
        """Read the newest state that is intact and belongs here.

        Newer files that cannot be used get ``.unusable`` after their names, so that they are told
        once and count no more among those to keep.

        Args:
            refuse: says why a state does not belong here, or None where it does; a KeyError of
                its own says that it is no state at all.

        Returns:
            The state, its file, and a line for each newer file that could not be used; None where
            there is no checkpoint at all.

        Raises:
            UsageError: there are checkpoints, and none can be used.
        """
        problems: dict[Path, str] = {}
        for path in reversed(self._found()):
            state = _read(path)
            try:
                problem = state if isinstance(state, str) else refuse(state)
            except KeyError:
                problem = "is no checkpoint of ldb"
            if problem is None and not isinstance(state, str):
                for bad in problems:
                    bad.rename(bad.with_name(f"{bad.name}.unusable"))
                return state, path, list(problems.values())
            problems[path] = f"{path.name} {problem}"
        if problems:
            fact = f"no checkpoint in {self.folder} can be used"
            cure = "put an intact one there, or begin again with --overwrite"
            raise UsageError(explain(fact, "; ".join(problems.values()), cure))
        return None

    def clear(self) -> None:
        """Remove every checkpoint, and what a killed run left half written."""
        for path in self._found():
            path.unlink(missing_ok=True)
        self.clear_partial()

    def clear_partial(self) -> None:
        """Remove what a killed run left half written."""
        for name in (_UNNAMED, f"{_UNNAMED}.partial"):
            (self.folder / name).unlink(missing_ok=True)

    def _found(self) -> list[Path]:
        """Files with a checkpoint's name, oldest first."""
        if not self.folder.is_dir():
            return []
        named = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(named, key=lambda path: (path.name.split("-")[1], path.stat().st_mtime_ns))


def _write(content: Mapping[str, Any], path: Path) -> None:
    outer = sys.exception()
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # torch's writer fails once more as it closes after a full disk
        first = error.__context__
        own = isinstance(first, OSError) and first is not outer
        raise (first if own else OSError(str(error))) from None  # type: ignore[misc]


def _read(path: Path) -> dict[str, Any] | str:
    """A checkpoint's content, or what is wrong with it."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    try:
        size = path.stat().st_size
        if size == 0:
            return "is empty"
        if _checksum(path) != match[2]:
            return f"is damaged ({size:,} bytes that do not have the checksum in its name)"
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except Exception as error:  # intact, yet nothing that torch saved: it may fail in any way
        if is_out_of_memory(error):
            raise
        return "is no checkpoint"
    if not isinstance(state, dict) or "format" not in state:
        return "is no checkpoint of ldb"
    if state["format"] != FORMAT:
        return f"has format {state['format']!r}, and this release reads {FORMAT}"
    return state


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
