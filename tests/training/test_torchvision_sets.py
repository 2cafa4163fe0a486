"""Torchvision's data sets, made up and read: no network is asked."""

import gzip
import hashlib
import pickle
import struct
import urllib.error

import numpy as np
import pytest
import torch
from torchvision import datasets as tv

from data_sets import some_pixels, told
from layerdropback.training.images.data import load_data

TRAIN, TEST = 20, 10

pytestmark = pytest.mark.usefixtures("generators_stay")


@pytest.fixture
def offline(monkeypatch):
    """No name is found, as without a network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def old_pickle(path, content):
    """As Python 2 wrote them: numpy's types had numbers for flags, of which numpy now warns."""
    data = pickle.dumps(content, protocol=2)
    assert (b"\x89\x88\x87" in data) == ("data" in content)
    path.write_bytes(data.replace(b"\x89\x88\x87", b"K\x00K\x01\x87"))


def write_cifar(root, monkeypatch, hundred=False):
    kind = tv.CIFAR100 if hundred else tv.CIFAR10
    folder = root / kind.base_folder
    folder.mkdir()
    count = 100 if hundred else 10
    key = "fine_labels" if hundred else "labels"
    lists = {"train_list": TRAIN // len(kind.train_list), "test_list": TEST}
    written = []
    for name, images in lists.items():
        sums = []
        for file, _ in getattr(kind, name):
            pixels = some_pixels(images, 3072)
            labels = [i % count for i in range(images)]
            old_pickle(folder / file, {"data": pixels, key: labels})
            sums.append([file, md5(folder / file)])
            written.append((pixels, labels))
        monkeypatch.setattr(kind, name, sums)
    names = [f"class {i}" for i in range(count)]
    meta = folder / kind.meta["filename"]
    old_pickle(meta, {kind.meta["key"]: names})
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(meta)})
    return names, written


def write_idx(path, values):
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_mnist(root, kind):
    folder = root / kind.__name__ / "raw"
    folder.mkdir(parents=True)
    for prefix, images in (("train", TRAIN), ("t10k", TEST)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", some_pixels(images, 28, 28))
        labels = np.arange(images, dtype=np.uint8) % 10
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.mark.parametrize("spec", ["cifar10", "cifar100"])
def test_cifar(tmp_path, monkeypatch, spec):
    names, written = write_cifar(tmp_path, monkeypatch, hundred=spec == "cifar100")
    data = load_data(spec, 64, data_dir=tmp_path)
    assert data.classes == tuple(names)
    assert data.train.pixels.shape == (TRAIN, 3, 32, 32)  # as they are; the device resizes
    assert data.train.pixels.is_contiguous()
    assert (data.size, data.channels, data.flips, data.in_memory) == (64, 3, True, True)
    assert (data.name, data.remark, len(data.test)) == (spec, "", TEST)
    pixels, labels = written[0]
    expected = torch.from_numpy(pixels).view(-1, 3, 32, 32)
    assert torch.equal(data.train.pixels[: len(labels)], expected)
    assert data.train.labels[: len(labels)].tolist() == labels
    assert torch.equal(data.test.pixels.flatten(1), torch.from_numpy(written[-1][0]))
    assert data.train.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("spec", "kind", "flips"),
    [("mnist", tv.MNIST, False), ("fashion-mnist", tv.FashionMNIST, True)],
)
def test_mnist(tmp_path, spec, kind, flips):
    write_mnist(tmp_path, kind)
    data = load_data(spec, limit_test=5, data_dir=tmp_path)
    assert data.classes == tuple(kind.classes)
    assert (data.size, data.channels, data.flips, data.image_size) == (28, 1, flips, None)
    assert torch.equal(data.train.pixels[:, 0], torch.from_numpy(some_pixels(TRAIN, 28, 28)))
    assert data.train.labels.tolist() == [i % 10 for i in range(TRAIN)]
    assert len(data.test.pixels) == len(data.test.labels) == 5


def write_svhn(root, monkeypatch):
    savemat = pytest.importorskip("scipy.io").savemat
    lists = {}
    for split, images in (("train", TRAIN), ("test", TEST)):
        path = root / f"{split}_32x32.mat"
        labels = np.arange(1, images + 1, dtype=np.uint8)[:, None] % 10
        labels[labels == 0] = 10  # SVHN's 0
        savemat(path, {"X": some_pixels(32, 32, 3, images), "y": labels})
        lists[split] = ["http://nowhere", path.name, md5(path)]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)


def test_svhn(tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)
    data = load_data("svhn", data_dir=tmp_path)
    assert data.classes == tuple("0123456789")
    assert (data.size, data.channels, data.flips) == (32, 3, False)
    expected = torch.from_numpy(some_pixels(32, 32, 3, TRAIN)).permute(3, 2, 0, 1)
    assert torch.equal(data.train.pixels, expected)
    assert data.train.labels.tolist() == [i % 10 for i in range(1, TRAIN + 1)]
    assert len(data.test) == TEST


PLACES = [
    ("cifar10", "cifar-10-batches-py"),
    ("cifar100", "cifar-100-python"),
    ("svhn", "train_32x32.mat"),
    ("mnist", "MNIST/raw"),
    ("fashion-mnist", "FashionMNIST/raw"),
]


@pytest.mark.parametrize(("spec", "place"), PLACES)
def test_a_set_that_is_not_there_is_told(tmp_path, monkeypatch, offline, spec, place):
    message = f"no {spec} in {tmp_path}. Cause: there is no {tmp_path}/{place}. Cure: give --down"
    told(spec, message + "load, or --data-dir", data_dir=tmp_path)
    message = (
        f"cannot download {spec} to {tmp_path}. Cause: .*no network.* bring {tmp_path}/{place}"
    )
    told(spec, message, data_dir=tmp_path, download=True)
    monkeypatch.chdir(tmp_path)
    told(spec, f"no {spec} in data. Cause: there is no data/{place}")


def test_a_set_that_is_damaged_is_told(tmp_path, monkeypatch, offline):
    write_cifar(tmp_path, monkeypatch)
    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_3").write_bytes(b"half a file")
    message = (
        f"cannot read cifar10 from {folder}. Cause: a file is missing or damaged. Cure: remove"
    )
    told("cifar10", message, data_dir=tmp_path)
    told("cifar10", f"cannot download cifar10 to {tmp_path}", data_dir=tmp_path, download=True)
    raw = write_mnist(tmp_path, tv.MNIST)
    (raw / "train-images-idx3-ubyte").write_bytes(b"half")
    told("mnist", f"cannot read mnist from {raw}", data_dir=tmp_path)


def test_a_set_that_is_there_needs_no_network(tmp_path, monkeypatch, offline):
    write_cifar(tmp_path, monkeypatch)
    assert len(load_data("cifar10", data_dir=tmp_path, download=True).train) == TRAIN


def served(monkeypatch, files):
    """Answer torchvision's requests with these bytes, by the last part of the address."""

    class Answer:
        def __init__(self, request):
            self.url = None  # not redirected
            data = files[request.full_url.rpartition("/")[2]]
            self.length, self._parts = len(data), [data, b""]

        def read(self, size):
            return self._parts.pop(0)

        def __enter__(self):
            return self

        def __exit__(self, *details):
            return None

    monkeypatch.setattr("urllib.request.urlopen", Answer)


def test_download(tmp_path, monkeypatch):
    raw = write_mnist(tmp_path / "there", tv.MNIST)
    files = {f"{file.name}.gz": gzip.compress(file.read_bytes()) for file in raw.iterdir()}
    sums = [(name, hashlib.md5(files[name]).hexdigest()) for name, _ in tv.MNIST.resources]
    monkeypatch.setattr(tv.MNIST, "resources", sums)
    served(monkeypatch, files)
    data = load_data("mnist", data_dir=tmp_path / "here", download=True)
    assert torch.equal(data.train.pixels[:, 0], torch.from_numpy(some_pixels(TRAIN, 28, 28)))

    served(monkeypatch, dict.fromkeys(files, b"something else"))
    message = f"cannot download mnist to {tmp_path / 'bad'}. Cause: .*not found or corrupted"
    told("mnist", message, data_dir=tmp_path / "bad", download=True)
