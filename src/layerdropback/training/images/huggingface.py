"""Data sets of the Hugging Face Hub, or of a local folder that ``datasets`` understands."""

import importlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ...errors import UsageError, explain, name_some
from ...runs.naming import nfc
from ...runs.reasons import reason
from .choosing import choose_test
from .columns import IMAGES, LABELS, find_column, number_classes, require_one_spelling
from .splits import LazySplit

_ANOTHER = "give another data set"


@dataclass(frozen=True, eq=False)
class RowSplit(LazySplit):
    """Images in the rows of a ``datasets.Dataset``; its `items` are the rows' numbers.

    Attributes:
        rows: the data set, its column of images not decoded.
        column: that column's name.
        name: of the data set and the split, for errors.
    """

    rows: Any
    column: str
    name: str

    def source(self, index: int) -> tuple[str | BinaryIO, str]:
        """The image's bytes where the row has them, or else its file."""
        number = int(self.items[index])
        image = self.rows[number][self.column] or {}
        data, path = image.get("bytes"), image.get("path")
        if data is None and path:
            return path, path
        # No bytes at all cannot be decoded, which is then reported.
        return io.BytesIO(data or b""), f"in row {number} of {self.name}"

    def names(self) -> bytes:
        """The data set's name and length, and which rows count."""
        return f"{self.name} {len(self.rows)}".encode() + self.items.tobytes()


def open_rows(
    name: str, cache: Path | None, download: bool
) -> tuple[tuple[str, ...], RowSplit, RowSplit, str]:
    """Find the splits, the images and the labels of a data set.

    The images are in the column of type ``Image``, the labels in that of type ``ClassLabel``; where
    not exactly one is, in the one with a usual name. The test images are in the split ``test``, or
    in ``validation`` where there is no ``test`` or it has no labels.

    Args:
        name: on the Hub, or a local folder.
        cache: where ``datasets`` keeps what it has read; None for its own choice.
        download: fetch it from the Hub where it is not there.

    Returns:
        The classes' names, the images of both splits, and a line about what was chosen, empty where
        there was no choice.

    Raises:
        UsageError: the package or the data set is not there, or it has no such columns.
    """
    where = f"hf:{name}"
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        cause, cure = f"the package datasets: {reason(error)}", "pip install 'layerdropback[hf]'"
        raise UsageError(explain(f"cannot open {where}", cause, cure)) from error
    splits = _load(datasets, name, cache, download)
    if "train" not in splits:
        raise _no_split(where, splits, "train on")
    train = splits["train"]
    image, said_image = find_column(train.features, datasets.Image, IMAGES, where)
    label, said_label = find_column(train.features, datasets.ClassLabel, LABELS, where)
    # A feature of another type has no names.
    names = getattr(train.features[label], "names", None)
    classes, codes = number_classes(names, train[label][:], f"column {label!r} of {where}")

    def labels(split: str) -> Tensor:
        rows = splits[split]
        given = rows[label][:] if label in rows.column_names else [None] * len(rows)
        return torch.tensor([codes.get(nfc(value), -1) for value in given], dtype=torch.int64)

    chosen = choose_test(list(splits), lambda split: bool((labels(split) >= 0).any()))
    if chosen is None:
        raise _no_split(where, splits, "test on")
    found = []
    for split in ("train", chosen[0]):
        known, what = labels(split), f"{where}, split {split!r}"
        _require_classes(known, classes, label, what)
        require_one_spelling(names, splits[split][label][:], what)
        rows = _undecoded(datasets, splits[split], image, what)
        found.append(RowSplit(known, np.arange(len(known)), rows, image, what))
    remark = "; ".join(filter(None, (chosen[1], said_image, said_label)))
    return classes, found[0], found[1], remark


def _require_classes(known: Tensor, classes: Sequence[str], label: str, what: str) -> None:
    if not len(known):
        raise UsageError(explain(f"{what} is empty", "it has no rows", _ANOTHER))
    if (known < 0).any():
        fact = f"row {int((known < 0).nonzero()[0])} of {what} has no class"
        cause = f"the classes are {name_some(classes)}, by column {label!r}"
        raise UsageError(explain(fact, cause, f"correct it, or {_ANOTHER}"))


def _undecoded(datasets: Any, rows: Any, image: str, what: str) -> Any:
    """The rows with their images alone, as files."""
    try:
        return rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    except Exception as error:  # absent, or a column that has no more than the name
        fact = f"column {image!r} of {what} has no images"
        raise UsageError(explain(fact, reason(error), _ANOTHER)) from error


def _no_split(where: str, splits: Mapping[str, Any], use: str) -> UsageError:
    cause = f"its splits are {name_some(list(splits))}"
    cure = "give a data set with the splits train and test (or validation)"
    return UsageError(explain(f"{where} has no split to {use}", cause, cure))


def _load(datasets: Any, name: str, cache: Path | None, download: bool) -> Mapping[str, Any]:
    """Read what is on this machine; only what is not may come from the network."""
    folder = Path(name).expanduser() if name.startswith("~") else Path(name)
    place = Path(cache or datasets.config.HF_DATASETS_CACHE)
    path, here = name, place
    if folder.is_dir():
        # Apart: what is kept goes by the last name alone, and must not pass for one of the Hub.
        path, here = str(folder), place / "folders"
    try:
        with _quiet(datasets, offline=True):
            local: Mapping[str, Any] = datasets.load_dataset(path, cache_dir=str(here))
            return local
    except Exception as error:  # of the Hub, of Arrow, of a file's reader: of many libraries
        absent = isinstance(error, (ConnectionError, FileNotFoundError)) and not folder.is_dir()
        if not absent:
            fact = f"cannot read hf:{name}"
            raise UsageError(explain(fact, reason(error), f"correct it, or {_ANOTHER}")) from error
        if not download:
            fact = f"no hf:{name} in {place}"
            cure = "give --download, --data-dir with the folder that has it, or hf:FOLDER"
            raise UsageError(explain(fact, "it is no folder either", cure)) from error
    try:
        with _quiet(datasets, offline=False):
            # Asked first, as it fails at once where `load_dataset` would try for long.
            importlib.import_module("huggingface_hub").HfApi().dataset_info(name, timeout=20)
            fetched: Mapping[str, Any] = datasets.load_dataset(name, cache_dir=str(place))
            return fetched
    except Exception as error:
        fact = f"cannot download hf:{name} to {place}"
        raise UsageError(explain(fact, reason(error), "check the name and the network")) from error


@contextmanager
def _quiet(datasets: Any, offline: bool) -> Iterator[None]:
    """Keep both libraries from logging what an error of ours will say, and from the network."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    before = [logger.level for logger in loggers], datasets.config.HF_HUB_OFFLINE
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        datasets.config.HF_HUB_OFFLINE = offline or before[1]
        yield
    finally:
        for logger, level in zip(loggers, before[0], strict=True):
            logger.setLevel(level)
        datasets.config.HF_HUB_OFFLINE = before[1]
