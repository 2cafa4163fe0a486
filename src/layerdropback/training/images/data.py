"""Where images come from: the names that ``--data`` knows."""

import difflib
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ...errors import UsageError, explain
from ...runs.paths import home
from ..config import TrainConfig
from ..workers import ALONE, Workers
from .choosing import stratified
from .folder import list_folder
from .holding import hold
from .huggingface import open_rows
from .splits import LazySplit, Split
from .torchvision_sets import SETS, read_set

__all__ = ["ImageData", "LazySplit", "Split", "load_data", "load_for"]


@dataclass(frozen=True)
class ImageData:
    """A data set, with what training needs to know of it.

    Attributes:
        name: as in ``--data``.
        classes: names of the classes.
        train: training images.
        test: test images.
        flips: whether a mirrored image is still of its class.
        remark: a line to be said about it, if any.
        image_size: side in pixels that a model shall get; None where the pixels have it. Images in
            memory may have another one still, lazy ones have any.
    """

    name: str
    classes: tuple[str, ...]
    train: Split | LazySplit
    test: Split | LazySplit
    flips: bool
    remark: str = ""
    image_size: int | None = None

    @property
    def in_memory(self) -> bool:
        """Whether both splits are."""
        return isinstance(self.train, Split) and isinstance(self.test, Split)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.train.pixels.shape[1] if isinstance(self.train, Split) else 3

    @property
    def size(self) -> int:
        """Side in pixels that a model shall get."""
        if self.image_size is not None:
            return self.image_size
        if isinstance(self.train, Split):
            return self.train.pixels.shape[2]
        raise ValueError("image_size is needed where images are read lazily")

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, on [0, 1].

        Of the training images in memory, before they are resized on the device; where they are read
        lazily, ImageNet's.
        """
        if not isinstance(self.train, Split):
            from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

            return list(IMAGENET_DEFAULT_MEAN), list(IMAGENET_DEFAULT_STD)
        # Counts of the 256 values are exact, and need no copy of all pixels as floats.
        channels = self.train.pixels.transpose(0, 1)
        counts = torch.stack([part.flatten().bincount(minlength=256) for part in channels])
        share = counts / counts.sum(1, keepdim=True)
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = (share * values).sum(1, keepdim=True)
        deviation = (share * (values - mean) ** 2).sum(1).sqrt()
        # At least so much, for a channel that never changes.
        return mean.flatten().tolist(), deviation.clamp(min=1e-3).tolist()


def load_data(
    spec: str,
    image_size: int | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    in_memory: str = "auto",
    unreadable: str = "stop",
) -> ImageData:
    """Open a data set.

    Args:
        spec: ``"digits"`` (scikit-learn's 1,797 images of 8x8 pixels, split 1,437 to 360),
            ``"digits:0123"`` (those of these digits alone, in the same split),
            ``"cifar10"``, ``"cifar100"``, ``"svhn"``, ``"mnist"``, ``"fashion-mnist"``,
            ``"folder:DIR"`` (see `list_folder`) or ``"hf:NAME"`` (see `open_rows`).
        image_size: side in pixels that a model shall get. Folders and ``hf:`` that go into memory
            are resized and cropped to it at once; the others keep their own pixels.
        limit_train: at most this many training images, as evenly over the classes as they allow.
        limit_test: the same for the test images.
        data_dir: where torchvision's data sets lie, ``data`` by default; for ``hf:`` the folder of
            what ``datasets`` has read, its own by default. The others ignore it.
        download: fetch what is not there, where it can be fetched.
        in_memory: of folders and ``hf:``; the others always are. ``"yes"``, ``"no"``, or
            ``"auto"``: yes for images of at most 64 pixels a side that need at most a quarter of
            the free memory. Images that are not in memory need `image_size`, unless the first one
            is square and has at most 64 pixels a side.
        unreadable: what to do about images of folders and ``hf:`` that cannot be read: ``"stop"``,
            or ``"skip"``: those that go into memory are left out here, with a warning.

    Raises:
        UsageError: there is no such data, or it cannot be read.

    Example:
        >>> load_data("digits", limit_train=100).train.pixels.shape
        torch.Size([100, 1, 8, 8])
    """
    if in_memory not in ("auto", "yes", "no"):
        cause = "it is one of auto, yes, no"
        raise UsageError(explain(f"--in-memory {in_memory} is not usable", cause, "give one"))
    kind, _, rest = spec.partition(":")
    train: Split | LazySplit
    test: Split | LazySplit
    flips, remark = True, ""
    if kind == "digits" or spec in SETS:
        if in_memory == "no":
            fact, cause = "--in-memory no is not usable", f"--data {spec} is always in memory"
            raise UsageError(explain(fact, cause, "leave it out"))
        root = home(data_dir or Path("data"), "--data-dir ")
        classes, train, test = read_set(spec, root, download) if spec in SETS else _digits(spec)
        flips = spec in SETS and SETS[spec].flips
    elif kind == "folder" and rest:
        classes, train, test, remark = list_folder(home(Path(rest), "--data folder:"))
    elif kind == "hf" and rest:
        place = None if data_dir is None else home(data_dir, "--data-dir ")
        classes, train, test, remark = open_rows(rest, place, download)
    else:
        raise _unknown(spec)
    train, test = _limited(train, limit_train), _limited(test, limit_test)
    if isinstance(train, LazySplit) and isinstance(test, LazySplit):
        train, test = (replace(split, skips=unreadable == "skip") for split in (train, test))
        train, test, image_size = hold(train, test, image_size, in_memory)
    return ImageData(spec, classes, train, test, flips, remark, image_size)


def divided(data: ImageData, limit: int | None) -> tuple[ImageData, Split | LazySplit | None]:
    """The training images that a limit leaves, and those that it leaves out.

    Args:
        data: with all training images.
        limit: as for `load_data`.

    Returns:
        What `load_data` would have made with the limit, and the others; None where there are none.

    Example:
        >>> few, others = divided(load_data("digits"), 100)
        >>> len(few.train), len(others)
        (100, 1337)
    """
    if limit is None or limit >= len(data.train):
        return data, None
    chosen = stratified(data.train.labels.tolist(), limit)
    others = sorted(set(range(len(data.train))) - set(chosen))
    return replace(data, train=data.train.subset(chosen)), data.train.subset(others)


def load_for(config: TrainConfig, workers: Workers = ALONE) -> ImageData:
    """Open the data set that a run's settings name; see `load_data`.

    Args:
        config: of the run.
        workers: that train together; the first one reads before the others, which do then as it
            did.

    Raises:
        UsageError: the images cannot be had; all workers get it.
    """
    mine: list[ImageData] = []

    def load(in_memory: str) -> str:
        data = load_data(
            config.data,
            config.image_size,
            config.limit_train,
            config.limit_test,
            data_dir=config.data_dir,
            download=config.download,
            in_memory=in_memory,
            unreadable=config.unreadable,
        )
        mine.append(data)
        return "yes" if data.in_memory else "no"

    decided = workers.of_first(lambda: load(config.in_memory))
    if not workers.first:
        read = config.data.partition(":")[0] in ("folder", "hf")
        with warnings.catch_warnings():  # the first one has told
            warnings.simplefilter("ignore")
            load(decided if read else config.in_memory)
    return mine[0]


def _unknown(spec: str) -> UsageError:
    names = ["digits", "digits:0123", *SETS, "folder:DIR", "hf:NAME"]
    close = difflib.get_close_matches(spec.lower(), names, n=1)
    cure = f"did you mean {close[0]!r}?" if close else "give one of these"
    if spec and Path(spec).is_dir():
        cure = f"for the folder of that name give 'folder:{spec}'"
    cause = f"it is {', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
    return UsageError(explain(f"--data {spec} is unknown", cause, cure.rstrip(".")))


def _digits(spec: str) -> tuple[tuple[str, ...], Split, Split]:
    """All ten, or those that are named; an image is in the same split either way."""
    wanted = spec.partition(":")[2] if ":" in spec else "0123456789"
    if not set(wanted) <= set("0123456789") or len(set(wanted)) != len(wanted) or len(wanted) < 2:
        cause = "each character after the colon is a digit whose images are used"
        cure = "give two or more, each once, such as digits:01234"
        raise UsageError(explain(f"--data {spec} is unknown", cause, cure))
    classes, *splits = _all_digits()
    chosen = torch.tensor(sorted(map(int, wanted)))
    train, test = (
        Split(split.pixels[kept], torch.searchsorted(chosen, split.labels[kept]))
        for split in splits
        for kept in [torch.isin(split.labels, chosen)]
    )
    return tuple(classes[number] for number in chosen), train, test


@cache  # reading and splitting them takes longer than to train a step; callers copy what they use
def _all_digits() -> tuple[tuple[str, ...], Split, Split]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype(np.uint8)[:, None]
    train, test, train_labels, test_labels = train_test_split(
        pixels, digits.target, test_size=360, stratify=digits.target, random_state=0
    )
    return (
        tuple(map(str, digits.target_names)),
        Split(torch.from_numpy(train), torch.from_numpy(train_labels.astype(np.int64))),
        Split(torch.from_numpy(test), torch.from_numpy(test_labels.astype(np.int64))),
    )


def _limited(split: Split | LazySplit, limit: int | None) -> Split | LazySplit:
    if limit is None or limit >= len(split):
        return split
    return split.subset(stratified(split.labels.tolist(), limit))
