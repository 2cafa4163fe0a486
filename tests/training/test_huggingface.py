"""Data sets of Hugging Face's, made up and read: no network is asked."""

import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from data_sets import some_pixels, told
from layerdropback import UsageError
from layerdropback.training.images.columns import IMAGES, LABELS, find_column, number_classes
from layerdropback.training.images.data import load_data

TRAIN, TEST = 20, 10

pytestmark = pytest.mark.usefixtures("generators_stay")


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
