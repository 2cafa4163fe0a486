"""Images in folders, ``DIR/train/<class>/*`` and ``DIR/test/<class>/*`` (or ``val``)."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import UsageError, explain
from ...runs.naming import in_one_form, nfc, spelt
from .choosing import TEST_SPLITS, choose_test
from .splits import LazySplit

SUFFIXES = frozenset(
    {".gif", ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
_LAYOUT = "the layout is DIR/train/<class>/* and DIR/test/<class>/* (or DIR/val/<class>/*)"


@dataclass(frozen=True, eq=False)
class FileSplit(LazySplit):
    """Image files of one split; its `items` are their names in `root`, as bytes."""

    root: Path

    def source(self, index: int) -> tuple[str, str]:
        """The file's path, twice."""
        path = os.path.join(self.root, os.fsdecode(self.items[index]))
        return path, path

    def names(self) -> bytes:
        """The files' names, in one Unicode form: copying to another system may change theirs."""
        raw = self.items.tobytes()
        if raw.isascii():
            return raw
        return np.array([os.fsencode(nfc(os.fsdecode(name))) for name in self.items]).tobytes()


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
    present = [name for name in TEST_SPLITS if (root / name).is_dir()]
    chosen = choose_test(present, lambda name: bool(_class_folders(root / name)))
    test_name, remark = chosen or ("test", "")
    others: Counter[str] = Counter()
    train_root, test_root = root / "train", root / test_name
    train, test = _class_files(train_root, others), _class_files(test_root, others)
    if len(train) < 2:
        fact = f"{train_root} has only the class {spelt(next(iter(train)))}"
        raise UsageError(explain(fact, "two or more are needed", "add folders"))
    for name in sorted(train.keys() ^ test.keys()):
        there, absent = (train_root, test_root) if name in train else (test_root, train_root)
        # It may be meant by one of the names that the other folder alone has, and look like it.
        alone = sorted(test.keys() - train if name in train else train.keys() - test)
        cause = "both need the same classes"
        cause += f", and {spelt(alone[0])} is in {absent} alone" if alone else ""
        fact = f"class {spelt(name)} is in {there}, but not in {absent}"
        raise UsageError(explain(fact, cause, "add or remove the folder, or rename it"))
    if others:
        kinds = (f"{count} {suffix or 'without a suffix'}" for suffix, count in others.items())
        ignored = f"ignored files, no images by their names: {', '.join(kinds)}"
        remark = f"{remark}; {ignored}" if remark else ignored
    return tuple(train), _split(train_root, train), _split(test_root, test), remark


def _class_folders(split: Path) -> list[str]:
    with os.scandir(split) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and _shown(entry.name))


def _class_files(split: Path, others: Counter[str]) -> dict[str, list[str]]:
    """Each class's files in the split's folder, in an order that no system changes.

    torchvision's ``make_dataset`` and timm's reader know neither Unicode forms nor hidden folders,
    and leave out in silence what is no image by its name; timm's takes the inmost folder as class.
    """
    if not split.is_dir():
        raise UsageError(explain(f"no folder {split}", _LAYOUT, "make it, or give another folder"))
    folders = _class_folders(split)
    if not folders:
        raise UsageError(explain(f"{split} has no class folders", _LAYOUT, "add them"))
    cure = "put their images into one of them"
    found = {}
    for name, folder in sorted(in_one_form(folders, f"{split} has two folders of", cure).items()):
        files = []
        for file in _files_below(split / folder):
            suffix = os.path.splitext(file)[1].lower()
            if suffix in SUFFIXES:
                files.append(file)
            else:
                others[suffix] += 1
        if not files:
            cause = f"none of its files ends in {', '.join(sorted(SUFFIXES))}"
            fact = f"class folder {split / folder} has no images"
            raise UsageError(explain(fact, cause, "add images or remove the folder"))
        files.sort(key=lambda file: (nfc(file), file))
        found[name] = [os.path.join(folder, file) for file in files]
    return found


def _files_below(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder and in those inside it, but for hidden ones.

    Links to folders are followed, as torchvision and timm do; each folder counts once, so that a
    link to one that it is in has an end.
    """
    seen = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(filter(_shown, inner))
        for name in filter(_shown, names):
            yield os.path.relpath(os.path.join(place, name), folder)


def _shown(name: str) -> bool:
    return not name.startswith(".")  # .DS_Store, ._image.jpg, .ipynb_checkpoints


def _split(root: Path, found: dict[str, list[str]]) -> FileSplit:
    names = [os.fsencode(name) for files in found.values() for name in files]
    counts = torch.tensor([len(files) for files in found.values()])
    labels = torch.arange(len(found)).repeat_interleave(counts)
    return FileSplit(labels, np.array(names), root)
