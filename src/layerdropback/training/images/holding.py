"""Which images are held in memory, and reading them into it."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ...errors import UsageError, explain
from ..stems import SMALL
from .splits import LazySplit, Split
from .unreadable import Unread, Unreadable


def hold(
    train: LazySplit, test: LazySplit, image_size: int | None, in_memory: str
) -> tuple[Split | LazySplit, Split | LazySplit, int]:
    """Read both splits into memory, or leave them where they are.

    Args:
        train: training images.
        test: test images.
        image_size: side in pixels; images are resized and cropped to it as they go into memory.
        in_memory: see `load_data`.

    Returns:
        Both splits, and the side in pixels.

    Raises:
        UsageError: the side is not known, an image cannot be read, or memory is short.
    """
    side = image_size or _side_of_first(train)
    needed = (len(train) + len(test)) * 3 * side * side
    free = _free_memory()
    roomy = free is None or needed <= free // 4
    if in_memory == "yes" or (in_memory == "auto" and side <= SMALL and roomy):
        _require_memory(needed)
        return _read_all(train, image_size, side), _read_all(test, image_size, side), side
    if image_size is None and side > SMALL:
        fact = f"{train.source(0)[1]} has {side}x{side} pixels"
        cause = f"above {SMALL} images are not held in memory, and may be of any size"
        cure = "give --image-size, or --in-memory yes if all have this one"
        raise UsageError(explain(fact, cause, cure))
    return train, test, side


def _side_of_first(split: LazySplit) -> int:
    """Of the first one that can be read, where others are skipped."""
    number = 0
    while True:
        try:
            width, height = split.picture(number).size
            break
        except Unreadable:
            number += 1
            if not split.skips or number == len(split):
                raise
    if width != height:
        fact = f"{split.source(number)[1]} has {width}x{height} pixels"
        cause = "square images are needed"
        raise UsageError(explain(fact, cause, "give --image-size to resize and crop them"))
    return width


def _require_memory(needed: int) -> None:
    free = _free_memory()
    if free is not None and needed > free // 2:
        fact = f"the images need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
        cure = "use --in-memory no, a smaller --image-size, or --limit-train and --limit-test"
        raise UsageError(explain(fact, "they are held in memory", cure))


def _free_memory() -> int | None:
    """Bytes that this process could get, file caches counted in; None where no system tells."""
    free = []
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    # Containers and batch systems set a limit for a control group; "max", no number, is none.
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        limit, used = (int((group / f"memory.{kind}").read_text()) for kind in ("max", "current"))
        free.append(max(0, limit - used))
    return min(free, default=None)


def _read_all(split: LazySplit, image_size: int | None, side: int) -> Split:
    pixels = torch.empty(len(split), 3, side, side, dtype=torch.uint8)

    def read(index: int) -> Unreadable | None:
        try:
            picture = split.picture(index)
        except Unreadable as error:
            if not split.skips:
                raise
            return error
        if picture.size != (side, side):
            if image_size is None:
                width, height = picture.size
                name = split.source(index)[1]
                fact = f"{name} has {width}x{height} pixels, others have {side}x{side}"
                cause = "images of one size are needed"
                raise UsageError(explain(fact, cause, "give --image-size to resize them"))
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
        pixels[index] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter's lock
        found = list(pool.map(read, range(len(split))))
    held = Split(pixels, split.labels)
    bad = [error for error in found if error is not None]
    if not bad:
        return held
    if len(bad) == len(found):
        raise bad[0]
    unread = Unread()
    unread.add(bad)
    unread.tell()
    return held.subset([number for number, error in enumerate(found) if error is None])
