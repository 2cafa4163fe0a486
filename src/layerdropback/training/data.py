"""Images that fit in memory, held there as bytes."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import UsageError, explain
from .folder import Listing, list_folder, stratified


@dataclass(frozen=True)
class Split:
    """Images with their classes.

    Attributes:
        pixels: uint8, shape ``(images, channels, height, width)``.
        labels: int64, shape ``(images,)``.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        """The same on another device."""
        return Split(self.pixels.to(device), self.labels.to(device))


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
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    flips: bool
    remark: str = ""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.train.pixels.shape[1]

    @property
    def size(self) -> int:
        """The images' side in pixels."""
        return self.train.pixels.shape[2]

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel of the training images, on [0, 1]."""
        values = torch.arange(256, dtype=torch.float64) / 255
        means, deviations = [], []
        for channel in range(self.channels):
            # Counts of the 256 values are exact, and need no copy of the pixels as floats.
            counts = torch.zeros(256, dtype=torch.int64)
            for part in torch.split(self.train.pixels[:, channel], 4096):
                counts += torch.bincount(part.flatten(), minlength=256)
            share = counts / counts.sum()
            mean = (share * values).sum()
            deviation = (share * (values - mean) ** 2).sum().sqrt()
            means.append(mean.item())
            deviations.append(max(1e-3, deviation.item()))  # a channel that never changes
        return means, deviations


def load_data(
    spec: str,
    image_size: int | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
) -> ImageData:
    """Load a data set into memory.

    Args:
        spec: ``"digits"`` (scikit-learn's 1,797 images of 8x8 pixels, split 1,437 to 360) or
            ``"folder:DIR"`` (see `list_folder`).
        image_size: side in pixels to resize folder images to; see `TrainConfig`.
        limit_train: at most this many training images.
        limit_test: at most this many test images.

    Raises:
        UsageError: there is no such data, or it cannot be read.

    Example:
        >>> load_data("digits", limit_train=100).train.pixels.shape
        torch.Size([100, 1, 8, 8])
    """
    kind, _, rest = spec.partition(":")
    if spec == "digits":
        if image_size is not None:
            cause = "the digits have 8x8 pixels"
            fact = f"--image-size {image_size} is not usable"
            raise UsageError(explain(fact, cause, "leave it out"))
        return _digits(limit_train, limit_test)
    if kind == "folder" and rest:
        return _folder(spec, _home(rest), image_size, limit_train, limit_test)
    cause = "it is 'digits' or 'folder:DIR'"
    raise UsageError(explain(f"--data {spec} is unknown", cause, "give one of these"))


def _home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~somebody who is not here
        fact = f"--data folder:{path} is not usable"
        raise UsageError(explain(fact, str(error).rstrip("."), "write the path out")) from None


def _digits(limit_train: int | None, limit_test: int | None) -> ImageData:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype(np.uint8)[:, None]
    splits = train_test_split(
        pixels, digits.target, test_size=360, stratify=digits.target, random_state=0
    )
    train, test = (
        _limited(torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64)), limit)
        for x, y, limit in ((splits[0], splits[2], limit_train), (splits[1], splits[3], limit_test))
    )
    return ImageData("digits", tuple(map(str, digits.target_names)), train, test, flips=False)


def _limited(pixels: Tensor, labels: Tensor, limit: int | None) -> Split:
    if limit is None or limit >= len(labels):
        return Split(pixels, labels)
    chosen = stratified(labels.tolist(), limit)
    return Split(pixels[chosen], labels[chosen])


def _folder(
    spec: str,
    root: Path,
    image_size: int | None,
    limit_train: int | None,
    limit_test: int | None,
) -> ImageData:
    classes, train, test, remark = list_folder(root)
    train, test = train.limited(limit_train), test.limited(limit_test)
    first = _read(train.files[0], None)
    side = image_size or first.shape[0]
    if image_size is None and first.shape[0] != first.shape[1]:
        height, width = first.shape[:2]
        fact = f"{train.files[0]} has {width}x{height} pixels"
        cause = "square images are needed"
        raise UsageError(explain(fact, cause, "give --image-size to resize and crop them"))
    _require_memory((len(train.files) + len(test.files)) * 3 * side * side)
    splits = [_read_all(listing, image_size, side) for listing in (train, test)]
    return ImageData(spec, classes, splits[0], splits[1], flips=True, remark=remark)


def _require_memory(needed: int) -> None:
    free = _free_memory()
    if free is not None and needed > free // 2:
        fact = f"the images need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        cure = "use a smaller --image-size, or --limit-train and --limit-test"
        raise UsageError(explain(fact, "they are held in memory", cure))


def _free_memory() -> int | None:
    """Bytes that the system could give, its file cache counted in; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kibibytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(kibibytes[0]) if kibibytes else None


def _read_all(listing: Listing, image_size: int | None, side: int) -> Split:
    pixels = torch.empty(len(listing.files), 3, side, side, dtype=torch.uint8)

    def read(index: int) -> None:
        file = listing.files[index]
        image = _read(file, image_size)
        if image.shape[:2] != (side, side):
            height, width = image.shape[:2]
            fact = f"{file} has {width}x{height} pixels, others have {side}x{side}"
            cause = "images of one size are needed"
            raise UsageError(explain(fact, cause, "give --image-size to resize them"))
        pixels[index] = torch.from_numpy(image).permute(2, 0, 1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter's lock
        for _ in pool.map(read, range(len(listing.files))):
            pass
    return Split(pixels, torch.tensor(listing.labels, dtype=torch.int64))


def _read(file: Path, image_size: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            deep = image.mode.startswith(("I", "F"))
            colour = image.convert("RGB")
    except Exception as error:  # a broken file may raise anything, SyntaxError included
        fact = f"cannot read the image {file}"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(explain(fact, reason, "replace or remove it")) from None
    if deep:  # converting would cut its values off
        fact = f"{file} has more than 8 bits a channel"
        raise UsageError(explain(fact, "images are held as bytes", "convert it to 8 bits"))
    if image_size is not None and colour.size != (image_size, image_size):
        colour = ImageOps.fit(colour, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.array(colour)
