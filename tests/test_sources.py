"""Data sets in their real formats: tiny files, written here and read by the real libraries."""

import gzip
import hashlib
import pickle
import random
import struct
import sys
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets as tv

from layerdropback import UsageError
from layerdropback.training.images.columns import IMAGES, LABELS, find_column, number_classes
from layerdropback.training.images.data import load_data

TRAIN, TEST = 20, 10


@pytest.fixture(autouse=True)
def _generators_stay():
    """Opening data moves no global generator."""
    random.seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[2], random.getstate()
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (np.random.get_state()[2], random.getstate())


@pytest.fixture
def offline(monkeypatch):
    """No name is found, as without a network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def some_pixels(*shape):
    return np.random.default_rng(len(shape)).integers(0, 256, shape, dtype=np.uint8)


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


def told(spec, message, **kwargs):
    with pytest.raises(UsageError, match=message) as error:
        load_data(spec, **kwargs)
    assert "\n" not in str(error.value)


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


def test_the_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    told("hf:mnist", r"cannot open hf:mnist\. .*Cure: pip install 'layerdropback\[hf\]'")


@pytest.fixture
def hf(tmp_path, monkeypatch):
    """The package, with its folders under the test's."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def make_pictures(root, splits=("train", "test"), count=3, size=(8, 8)):
    for number, split in enumerate(splits):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = some_pixels(*size, 3) // (number + index + 1)
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return root


def write_parquet(hf, root, columns, features, splits=("train", "test")):
    root.mkdir()
    table = hf.Dataset.from_dict(columns, features=hf.Features(features))
    for split in splits:
        table.to_parquet(root / f"{split}.parquet")
    return root


def encoded(count=4, size=(8, 8)):
    pictures = [Image.fromarray(some_pixels(*size, 3) // (i + 1)) for i in range(count)]
    return pictures


def test_hf_folder_of_images(hf, tmp_path):
    root = make_pictures(tmp_path / "pictures", splits=("train", "val"))
    data = load_data(f"hf:{root}", limit_train=4)
    assert (data.classes, data.in_memory, data.flips) == (("cat", "dog"), True, True)
    assert (data.size, data.channels) == (8, 3)
    assert data.remark == "tested on 'validation'"  # what datasets makes of val
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(data.test.pixels, load_data(f"folder:{root}").test.pixels)
    assert torch.equal(data.test.labels, torch.tensor([0, 0, 0, 1, 1, 1]))


def test_hf_table_read_lazily(hf, tmp_path):
    columns = {"picture": encoded(), "kind": [1, 0, 2, 0], "id": [5, 6, 7, 8]}
    kinds = hf.ClassLabel(names=["a", "b", "c"])
    features = {"picture": hf.Image(), "kind": kinds, "id": hf.Value("int64")}
    root = write_parquet(hf, tmp_path / "table", columns, features)
    data = load_data(f"hf:{root}", 224, limit_train=3)
    assert not data.in_memory
    assert (data.size, data.classes, data.remark) == (224, ("a", "b", "c"), "")
    assert data.train.labels.tolist() == sorted(data.train.labels.tolist(), key=[1, 0, 2].index)
    lazy = pickle.loads(pickle.dumps(data.test))
    for index, picture in enumerate(columns["picture"]):
        expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        assert torch.equal(lazy.read(index), expected)
    held = load_data(f"hf:{root}")
    assert torch.equal(held.test.pixels[2], lazy.read(2))
    assert held.test.labels.tolist() == [1, 0, 2, 0]


def test_hf_columns_by_their_names(hf, tmp_path):
    files = make_pictures(tmp_path / "pictures", splits=("train",), count=2)
    data = [(files / "train" / name / "0.png").read_bytes() for name in ("cat", "dog")]
    features = {"img": hf.Value("binary"), "label": hf.Value("string"), "id": hf.Value("int64")}
    columns = {"img": data, "label": ["dog", "cat"], "id": [0, 1]}
    root = write_parquet(hf, tmp_path / "table", columns, features)
    loaded = load_data(f"hf:{root}")
    assert loaded.classes == ("cat", "dog")
    assert loaded.train.labels.tolist() == [1, 0]
    expected = torch.from_numpy(np.array(Image.open(files / "train" / "dog" / "0.png")))
    assert torch.equal(loaded.train.pixels[1], expected.permute(2, 0, 1))


def test_hf_test_split_without_labels_gives_way_to_validation(hf, tmp_path):
    features = {"image": hf.Image(), "label": hf.ClassLabel(names=["a", "b"])}
    columns = {"image": encoded(2), "label": [0, 1]}
    root = write_parquet(hf, tmp_path / "x", columns, features, ("train", "validation"))
    blind = {"image": encoded(2), "label": [-1, -1]}
    hf.Dataset.from_dict(blind, features=hf.Features(features)).to_parquet(root / "test.parquet")
    data = load_data(f"hf:{root}")
    assert data.remark == "tested on 'validation', not on 'test'"
    assert data.test.labels.tolist() == [0, 1]
    (root / "validation.parquet").unlink()
    told(f"hf:{root}", r"row 0 of hf:.*, split 'test' has no class")


def test_hf_image_that_cannot_be_read_is_told(hf, tmp_path):
    features = {"image": hf.Image(), "label": hf.ClassLabel(names=["a", "b"])}
    bad = [{"bytes": b"no image", "path": None}, encoded(1)[0]]
    root = write_parquet(hf, tmp_path / "x", {"image": bad, "label": [0, 1]}, features)
    told(
        f"hf:{root}",
        "cannot read the image in row 0 of hf:.*'train'. Cause: .*identify",
        image_size=8,
    )
    lazy = load_data(f"hf:{root}", 8, in_memory="no").train
    with pytest.raises(UsageError, match="cannot read the image in row 0 of"):
        lazy.read(0)
    none = [encoded(1)[0], None]
    root = write_parquet(hf, tmp_path / "y", {"image": none, "label": [0, 1]}, features)
    told(f"hf:{root}", "cannot read the image in row 1 of hf:")


def test_hf_tables_that_are_no_classification_are_told(hf, tmp_path):
    kinds = hf.ClassLabel(names=["a", "b"])
    many = {"one": hf.Image(), "two": hf.Image(), "label": kinds}
    columns = {"one": encoded(2), "two": encoded(2), "label": [0, 1]}
    root = write_parquet(hf, tmp_path / "many", columns, many)
    told(f"hf:{root}", r"several columns of type Image .*'one' \(Image\), 'two' \(Image\), 'label'")
    columns = {"image": encoded(2), "number": [0.5, 1.5]}
    none = {"image": hf.Image(), "number": hf.Value("float32")}
    root = write_parquet(hf, tmp_path / "none", columns, none)
    told(f"hf:{root}", r"no column of type ClassLabel .*'image' \(Image\), 'number' \(Value\)")
    columns, wrong = (
        {"image": [1, 2], "label": [0, 1]},
        {"image": hf.Value("int64"), "label": kinds},
    )
    root = write_parquet(hf, tmp_path / "wrong", columns, wrong)
    told(f"hf:{root}", r"column 'image' of hf:.* has no images")
    root = make_pictures(tmp_path / "alone", splits=("train",))
    told(f"hf:{root}", r"no split to test on. Cause: its splits are 'train'")
    (tmp_path / "empty").mkdir()
    told(f"hf:{tmp_path / 'empty'}", r"cannot read hf:.*empty. Cause: ")


def test_hf_names_that_are_not_there_are_told(hf, tmp_path, monkeypatch):
    told("hf:some/thing", rf"no hf:some/thing in {tmp_path / 'cache'}.*--download")
    told("hf:some/thing", rf"no hf:some/thing in {tmp_path / 'mine'}", data_dir=tmp_path / "mine")
    told("hf:/no/folder/at/all", "no hf:/no/folder/at/all in .*it is no folder either")
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    assert hf.config.HF_HUB_OFFLINE is False  # as it was
    import huggingface_hub

    class Unreachable:
        def dataset_info(self, name, timeout):
            raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "HfApi", Unreachable)
    message = rf"cannot download hf:some/thing to {tmp_path / 'cache'}. Cause: no network at all"
    told("hf:some/thing", message, download=True)


def test_hf_what_was_fetched_before_needs_no_network(hf, tmp_path):
    """A prepared data set, put where one of the Hub would lie."""
    root = make_pictures(tmp_path / "pictures")
    load_data(f"hf:{root}")
    told("hf:pictures", "no hf:pictures in ")  # the folder of that name is no other's data
    (made,) = (tmp_path / "cache" / "folders" / "pictures").glob("default/0.0.0/*/")
    place = tmp_path / "cache" / "someone___pictures" / "default" / "0.0.0"
    place.mkdir(parents=True)
    made.rename(place / made.name)
    for download in (False, True):
        data = load_data("hf:someone/pictures", download=download)
        assert torch.equal(data.train.pixels, load_data(f"folder:{root}").train.pixels)


def test_the_usual_name_decides_between_several_of_a_type():
    features = {"mask": b"", "image": b"", "label": 0}
    remark = "column 'image' is used, not 'mask'"
    assert find_column(features, bytes, IMAGES, "x") == ("image", remark)
    with pytest.raises(UsageError, match=r"x has several columns of type bytes .*'img' \(bytes\)"):
        find_column({"img": b"", "image": b""}, bytes, IMAGES, "x")
    with pytest.raises(UsageError, match="x has several columns of type float"):
        find_column({"label": 0, "labels": 0}, float, LABELS, "x")


def test_numbers_as_classes():
    assert number_classes(None, [7, 3, None, 7], "x") == (("3", "7"), {3: 0, 7: 1})
    for labels, has in (([0.5, 1.5], "float"), (["a", 1], "int and str"), ([None], "nothing")):
        with pytest.raises(UsageError, match=f"x names no classes. .* it has {has}"):
            number_classes(None, labels, "x")
    with pytest.raises(UsageError, match="x has only the class '4'"):
        number_classes(None, [4, 4], "x")
