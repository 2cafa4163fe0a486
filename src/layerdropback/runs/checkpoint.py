"""A run's whole state on the disk: never half written, never believed unless it is intact."""

import hashlib
import os
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from .. import __version__
from ..errors import UsageError, explain
from .atomic import replace_atomically, sync_folder
from .machine import is_out_of_memory
from .naming import nfc
from .releases import cannot_use

# Raised with every change of what a checkpoint holds: one of another format is left as it is.
FORMAT = 3

# The checksum is a part of the name: no second file that could be of another moment, and the file
# itself stays one that torch.load reads.
_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")
_UNNAMED = "unnamed.pt"

_Refuse = Callable[[Mapping[str, Any]], str | None]


class Checkpoints:
    """The checkpoints in one folder, the last few of which are kept.

    A checkpoint is written beside its place, brought to the disk, given its name in one move, and
    only then is an older one removed; so whenever the machine stops there is a whole one.

    Args:
        folder: made with the first checkpoint, in one that is there.
        keep: how many.
        kind: of what they are, in a word: those of something else are not believed.
        parts: what each has, with its type.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(Path(folder), keep=1)
        ...     for step in (1, 2):
        ...         path = checkpoints.save({"weight": torch.ones(2)}, step)
        ...     len(list(Path(folder).iterdir())), checkpoints.load(lambda state: None)[0]["step"]
        (1, 2)
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        kind: str = "training",
        parts: Mapping[str, type] = MappingProxyType({}),
    ):
        self.folder, self._keep, self._kind, self._parts = folder, keep, kind, parts

    def save(self, state: Mapping[str, Any], step: int) -> Path:
        """Write a state, made of tensors and plain values.

        Args:
            state: what `load` shall return.
            step: orders the checkpoints: optimizer steps since the start.

        Raises:
            OSError: it cannot be written; those that are there stay.
        """
        self.folder.mkdir(exist_ok=True)  # not what it is in: that may be gone, and be missed
        unnamed = self.folder / _UNNAMED
        own = {"format": FORMAT, "kind": self._kind, "step": step, "version": __version__}
        replace_atomically(unnamed, lambda partial: _write(own | dict(state), partial))
        path = self.folder / f"step-{step:09d}-{_checksum(unnamed)}.pt"
        _make_newest(unnamed, self._found())
        os.replace(unnamed, path)
        sync_folder(self.folder)
        for old in self._found()[: -self._keep]:
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def load(
        self, refuse: _Refuse = lambda state: None
    ) -> tuple[dict[str, Any], Path, list[str]] | None:
        """Read the newest state that is intact and belongs here.

        Newer files that cannot be used get ``.unusable`` after their names, so that they are told
        once and count no more among those to keep.

        Args:
            refuse: says why a state does not belong here, or None where it does.

        Returns:
            The state, its file, and a line for each newer file that could not be used; None where
            there is no checkpoint at all.

        Raises:
            UsageError: there are checkpoints, and none can be used; or the newest is of another
                release's format, or without one of the parts, and stays as it is: an older one
                would lose what the run did.
        """
        problems: dict[Path, str] = {}
        for path in reversed(self._found()):
            state = _usable(path, self._kind, self._parts, refuse)
            if not isinstance(state, str):
                for bad in problems:
                    bad.rename(bad.with_name(f"{bad.name}.unusable"))
                return state, path, list(problems.values())
            problems[path] = f"{path.name} {state}"
        if problems:
            fact = f"no checkpoint in {self.folder} can be used"
            cure = "put an intact one there, or begin again with --overwrite"
            raise UsageError(explain(fact, "; ".join(problems.values()), cure))
        return None

    def unknown(self) -> list[Path]:
        """Files that look like checkpoints, and have no name that `save` gives; sorted."""
        kinds = (".pt", ".pth", ".ckpt", ".safetensors")
        there = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [p for p in there if p.suffix in kinds and p.name != _UNNAMED and not _named(p)]

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
        named = filter(_named, self.folder.iterdir())
        return sorted(named, key=lambda path: (path.name.split("-")[1], path.stat().st_mtime_ns))


def _make_newest(file: Path, others: Iterable[Path]) -> None:
    """Of those of one step the newest counts, also where the clock has been put back meanwhile."""
    newest = max((path.stat().st_mtime_ns for path in others), default=0)
    if file.stat().st_mtime_ns <= newest:
        os.utime(file, ns=(newest + 1, newest + 1))


def _named(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None


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
        with warnings.catch_warnings():  # of files that no version of torch has written
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path) and "Unsupported" in str(error):  # class, global, operand
            cause = "it holds more than tensors and plain values, and loading that could run code"
            cure = "find out where it comes from; nothing was changed"
            raise UsageError(explain(f"{path} cannot be used", cause, cure)) from None
        return "is no checkpoint"
    except Exception as error:  # intact, yet nothing that torch saved: it may fail in any way
        if is_out_of_memory(error):
            raise
        if zipfile.is_zipfile(path):  # as torch writes them, and named as this library does
            raise cannot_use(path, f"torch {torch.__version__} does not load it", None) from None
        return "is no checkpoint"
    kinds = {"format": int, "step": int, "kind": str, "version": str}
    known = isinstance(state, dict) and all(
        isinstance(state.get(name), kind) for name, kind in kinds.items()
    )
    return state if known else "is no checkpoint of ldb"


def _usable(
    path: Path, kind: str, parts: Mapping[str, type], refuse: _Refuse
) -> dict[str, Any] | str:
    """A state that belongs here, or what is wrong with it.

    Raises:
        UsageError: another release wrote it, in another format or without a part.
    """
    state = _read(path)
    if isinstance(state, str):
        return state
    if state["format"] != FORMAT:
        has = f"it has format {state['format']!r}, and this release reads {FORMAT}"
        raise cannot_use(path, has, state.get("version"))
    if state["kind"] != kind:
        return f"is of a {state['kind']}, not of a {kind}"
    for part, of_it in parts.items():
        if not isinstance(state.get(part), of_it):
            raise cannot_use(path, f"it has no part {part!r}", state["version"])
    return refuse(state) or state


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """Say in what two identities differ, or None where they do not.

    Example:
        >>> difference({"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 1})
        'is of another run (lr is 0.1 here and 0.2 there)'
    """
    there = {name: _in_nfc(value) if name == "classes" else value for name, value in there.items()}
    names = [name for name in here.keys() | there.keys() if here.get(name) != there.get(name)]
    shown = [
        "the images changed since it began"
        if name in ("classes", "training_images", "test_images")
        else f"{name} is {here.get(name)} here and {there.get(name)} there"
        for name in sorted(names)
    ]
    return f"is of another run ({'; '.join(dict.fromkeys(shown))})" if shown else None


def _in_nfc(classes: Any) -> Any:
    return [nfc(name) for name in classes] if isinstance(classes, list | tuple) else classes
