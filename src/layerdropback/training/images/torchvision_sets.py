"""The data sets that torchvision knows to fetch: small images, held in memory."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UsageError, explain
from ...runs.reasons import reason
from .splits import Split


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: of its class in ``torchvision.datasets``.
        places: what of it lies in the data folder.
        flips: whether a mirrored image is still of its class.
    """

    name: str
    places: tuple[str, ...]
    flips: bool


SETS = {
    "cifar10": Source("CIFAR10", ("cifar-10-batches-py",), flips=True),
    "cifar100": Source("CIFAR100", ("cifar-100-python",), flips=True),
    "svhn": Source("SVHN", ("train_32x32.mat", "test_32x32.mat"), flips=False),
    "mnist": Source("MNIST", ("MNIST/raw",), flips=False),
    "fashion-mnist": Source("FashionMNIST", ("FashionMNIST/raw",), flips=True),
}


def read_set(spec: str, root: Path, download: bool) -> tuple[tuple[str, ...], Split, Split]:
    """Read one of `SETS` into memory.

    Args:
        spec: its key.
        root: the data folder, torchvision's ``root``.
        download: fetch it where it is not there.

    Returns:
        The classes' names, the training images and the test images.

    Raises:
        UsageError: it is not there, is damaged, or cannot be fetched.
    """
    try:
        from torchvision import datasets

        name = SETS[spec].name
        parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
        if name == "SVHN":
            parts = [{"split": "train"}, {"split": "test"}]
        with warnings.catch_warnings():
            # numpy about CIFAR's files, which were written by a Python of long ago.
            warnings.filterwarnings("ignore", r"dtype\(\): align should be passed")
            kind = getattr(datasets, name)
            train, test = (kind(root, download=download, **part) for part in parts)
        classes = getattr(train, "classes", range(10))  # SVHN leaves them unnamed
        return tuple(map(str, classes)), _held(train), _held(test)
    except Exception as error:  # the network, tar, pickle and scipy fail each in their own way
        raise _explained(spec, root, download, error) from error


def _held(data: Any) -> Split:
    pixels: Tensor = torch.as_tensor(data.data)
    if pixels.ndim == 3:  # grey
        pixels = pixels.unsqueeze(1)
    elif pixels.shape[-1] == 3:  # CIFAR has the channels last, SVHN has not
        pixels = pixels.permute(0, 3, 1, 2)
    labels = data.labels if hasattr(data, "labels") else data.targets
    return Split(pixels.contiguous(), torch.as_tensor(labels, dtype=torch.int64))


def _explained(spec: str, root: Path, download: bool, error: Exception) -> UsageError:
    places = [os.path.join(root, place) for place in SETS[spec].places]
    missing = [place for place in places if not os.path.exists(place)]
    if download:
        fact = f"cannot download {spec} to {root}"
        cure = f"check the network and the folder, or bring {' and '.join(places)} from elsewhere"
        return UsageError(explain(fact, reason(error), cure))
    if missing:
        cause = f"there is no {missing[0]}"
        cure = "give --download, or --data-dir with the folder that has it"
        return UsageError(explain(f"no {spec} in {root}", cause, cure))
    text = reason(error)
    cause = "a file is missing or damaged" if "download=True" in text else text
    fact = f"cannot read {spec} from {' and '.join(places)}"
    return UsageError(explain(fact, cause, "remove it and give --download"))
