"""Images in folders, ``DIR/train/<class>/*`` and ``DIR/test/<class>/*`` (or ``val``)."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UsageError, explain
from ...runs.naming import nfc, spelt
from .choosing import TEST_SPLITS, choose_test
from .lazy import LazySplit

SUFFIXES = frozenset(
    {".gif", ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
_LAYOUT = "the layout is DIR/train/<class>/* and DIR/test/<class>/* (or DIR/val/<class>/*)"


class FileSplit(LazySplit):
    """Image files of one split.

    Args:
        root: the split's folder.
        names: of the files in it, as bytes: ImageNet's million are one array, which a loader's
            workers share as long as nobody writes to it, as counting references would.
        labels: see `LazySplit`.
    """

    def __init__(self, root: Path, names: NDArray[np.bytes_], labels: Tensor):
        self._root, self._names, self.labels = root, names, labels

    def source(self, index: int) -> tuple[str, str]:
        """The file's path, twice."""
        path = os.path.join(self._root, os.fsdecode(self._names[index]))
        return path, path

    def names(self) -> bytes:
        """The files' names, in one Unicode form: copying to another system may change theirs."""
        raw = self._names.tobytes()
        if raw.isascii():
            return raw
        return np.array([os.fsencode(nfc(os.fsdecode(name))) for name in self._names]).tobytes()

    def subset(self, indices: Sequence[int]) -> "FileSplit":
        """Only these images."""
        return FileSplit(self._root, self._names[indices], self.labels[indices])


def list_folder(root: Path) -> tuple[tuple[str, ...], FileSplit, FileSplit, str]:
    """Find the classes and the files of both splits.

    The test images are in ``test``, or else in ``val``, ``valid`` or ``validation``. A class is
    known by its folder's name in Unicode's form NFC, which macOS and other systems write apart.

    Returns:
        The classes' names, sorted, the images of both splits, and a line about what was chosen or
        left out, empty where there is nothing to say.

    Raises:
        UsageError: a folder is missing or empty, or the two splits disagree about the classes.
    """
    if not root.is_dir():
        raise UsageError(explain(f"no folder {root}", "--data folder:DIR names it", "give another"))
    others: Counter[str] = Counter()
    train_root, (test_root, remark) = root / "train", _test_folder(root)
    train, test = _class_files(train_root, others), _class_files(test_root, others)
    classes = tuple(train)
    if len(classes) < 2:
        fact = f"{train_root} has only the class {spelt(classes[0])}"
        raise UsageError(explain(fact, "two or more are needed", "add folders"))
    for name in sorted(set(classes) ^ set(test)):
        there, absent = (train_root, test_root) if name in train else (test_root, train_root)
        fact = f"class {spelt(name)} is in {there}, but not in {absent}"
        # It may be meant by one of the names that the other folder alone has, and look like it.
        alone = sorted(
            set(test if name in train else train) - set(train if name in train else test)
        )
        cause = "both need the same classes"
        cause += f", and {spelt(alone[0])} is in {absent} alone" if alone else ""
        raise UsageError(explain(fact, cause, "add or remove the folder, or rename it"))
    kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in others.items())
    ignored = f"ignored files, no images by their names: {kinds}" if kinds else ""
    return (
        classes,
        _split(train_root, train),
        _split(test_root, test),
        "; ".join(filter(None, (remark, ignored))),
    )


def _test_folder(root: Path) -> tuple[Path, str]:
    present = [name for name in TEST_SPLITS if (root / name).is_dir()]
    chosen = choose_test(present, lambda name: bool(_class_folders(root / name)))
    return (root / "test", "") if chosen is None else (root / chosen[0], chosen[1])


def _shown(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")  # .DS_Store, ._image.jpg, .ipynb_checkpoints


def _class_folders(split: Path) -> list[str]:
    with os.scandir(split) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and _shown(entry))


def _by_class(split: Path, folders: Sequence[str]) -> dict[str, str]:
    """Each class's folder, in the classes' order."""
    found: dict[str, str] = {}
    for folder in folders:
        first = found.setdefault(nfc(folder), folder)
        if first != folder:
            fact = f"{split} has two folders of the class {nfc(folder)!r}"
            cause = f"{first!a} and {folder!a} differ in their Unicode form alone"
            raise UsageError(explain(fact, cause, "put their images into one of them"))
    return dict(sorted(found.items()))


def _class_files(split: Path, others: Counter[str]) -> dict[str, list[str]]:
    """Paths of each class's files in the split's folder, in an order that no system changes."""
    if not split.is_dir():
        raise UsageError(explain(f"no folder {split}", _LAYOUT, "make it, or give another folder"))
    folders = _class_folders(split)
    if not folders:
        raise UsageError(explain(f"{split} has no class folders", _LAYOUT, "add them"))
    found = {}
    for name, folder in _by_class(split, folders).items():
        shown = list(_files_below(split / folder))
        suffixes = [os.path.splitext(file)[1].lower() for file in shown]
        both = zip(shown, suffixes, strict=True)
        files = [file for file, suffix in both if suffix in SUFFIXES]
        others.update(suffix for suffix in suffixes if suffix not in SUFFIXES)
        if not files:
            cause = f"none of its files ends in {', '.join(sorted(SUFFIXES))}"
            fact = f"class folder {split / folder} has no images"
            raise UsageError(explain(fact, cause, "add images or remove the folder"))
        files.sort(key=lambda file: (nfc(file), file))
        found[name] = [os.path.join(folder, file) for file in files]
    return found


def _files_below(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder and in those inside it, but for hidden ones."""
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(place, name), folder)


def _split(root: Path, found: dict[str, list[str]]) -> FileSplit:
    names = [os.fsencode(name) for files in found.values() for name in files]
    counts = torch.tensor([len(files) for files in found.values()])
    return FileSplit(root, np.array(names), torch.arange(len(found)).repeat_interleave(counts))
