"""Names that look alike and differ in their Unicode form are one name."""

import shutil
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from layerdropback import UsageError
from layerdropback.runs.checkpoint import difference
from layerdropback.training.export import export_weights, read_metadata
from layerdropback.training.images.columns import number_classes, require_one_spelling
from layerdropback.training.images.data import load_data
from layerdropback.training.images.folder import list_folder
from layerdropback.training.initial import load_initial
from layerdropback.training.models import ModelSpec, build_model

# By their NFD forms they are in another order than by NFC.
CLASSES = ("cafz", "caf\u00e9")
TRAIN = ["--model", "test_resnet", "--epochs", 1, "--batch-size", 4, "--workers", 0]


def nfd(name):
    return unicodedata.normalize("NFD", name)


def pictures(root, train="NFC", test="NFC", classes=CLASSES, files=("0", "\u00e91")):
    generator = np.random.default_rng(0)
    for split, form in (("train", train), ("test", test)):
        for name in classes:
            place = root / split / unicodedata.normalize(form, name)
            place.mkdir(parents=True)
            for file in files:
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                path = place / f"{unicodedata.normalize(form, file)}.png"
                Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(autouse=True)
def _names_are_kept(tmp_path):
    (tmp_path / "caf\u00e9").touch()
    if (tmp_path / nfd("caf\u00e9")).exists():
        pytest.skip("this file system takes both forms for one name")


@pytest.mark.parametrize(("train", "test"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_folders_of_either_form_are_one_class(tmp_path, train, test):
    usual = load_data(f"folder:{pictures(tmp_path / 'usual')}")
    data = load_data(f"folder:{pictures(tmp_path / 'other', train, test)}")
    assert data.classes == usual.classes == CLASSES
    for here, there in ((data.train, usual.train), (data.test, usual.test)):
        assert torch.equal(here.pixels, there.pixels)
        assert torch.equal(here.labels, there.labels)


def test_copying_to_another_system_changes_no_fingerprint(tmp_path):
    found = [
        list_folder(pictures(tmp_path / form, form, form))[1].fingerprint()
        for form in ("NFC", "NFD")
    ]
    assert found[0] == found[1]
    more = list_folder(pictures(tmp_path / "more", files=("0", "\u00e92")))[1]
    assert more.fingerprint() != found[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_two_folders_of_one_class_are_told_with_their_escapes(tmp_path, split):
    pictures(tmp_path / "data")
    (tmp_path / "data" / split / nfd(CLASSES[1])).mkdir()
    with pytest.raises(UsageError, match="has two folders of the class") as error:
        load_data(f"folder:{tmp_path / 'data'}")
    assert r"'cafe\u0301' and 'caf\xe9' differ in their Unicode form alone" in str(error.value)
    assert str(tmp_path / "data" / split) in str(error.value)


def test_a_class_that_only_looks_alike_is_told_with_its_escapes(tmp_path):
    pictures(tmp_path, classes=("cat", "dog"))
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "c\u0430t")
    with pytest.raises(UsageError, match="class 'cat' is in .*test, but not in .*train") as error:
        load_data(f"folder:{tmp_path}")
    assert r"('c\u0430t') is in" in str(error.value)


def test_names_that_are_no_text_at_all(tmp_path):
    pictures(tmp_path, classes=("cat", "d\udcff"))
    data = load_data(f"folder:{tmp_path}", 8, in_memory="no")
    assert data.classes == ("cat", "d\udcff")
    assert data.train.read(3).shape == (3, 8, 8)


def test_a_run_and_its_weights_on_a_folder_of_the_other_form(run, tmp_path):
    pictures(tmp_path / "mac", "NFD", "NFD")
    pictures(tmp_path / "linux")
    assert run("train", *TRAIN, "--data", "folder:mac", "--out", "out")[0] == 0
    assert read_metadata(tmp_path / "out" / "weights.safetensors")["classes"] == list(CLASSES)
    outputs = {
        run("evaluate", "out", "--data", f"folder:{name}")[1].partition(" of ")[2][-30:]
        for name in ("mac", "linux")
    }
    assert len(outputs) == 1
    (tmp_path / "out" / "weights.safetensors").unlink()
    code, output, errors = run("train", "--data", "folder:linux", "--out", "out", "--resume")
    assert (code, errors) == (0, "")
    assert "resumed from" in output


def exported(path, classes):
    torch.manual_seed(1)
    spec = ModelSpec("test_resnet", len(classes), 3, 8, True)
    notes = {"classes": list(classes), "mean": [0.5] * 3, "std": [0.5] * 3}
    export_weights(build_model(spec)[0], path, spec, notes)
    return spec


def test_weights_of_an_earlier_release_name_their_classes_in_either_form(run, tmp_path):
    pictures(tmp_path / "data", classes=("a", "caf\u00e9"))
    spec = exported(tmp_path / "weights", ("a", nfd("caf\u00e9")))
    assert run("evaluate", "weights", "--data", "folder:data")[0] == 0
    said = load_initial(build_model(spec)[0], tmp_path / "weights", ("a", "caf\u00e9"), spec)
    assert said.endswith("its classifier included")


def test_the_same_classes_in_another_order_are_told(run, tmp_path):
    pictures(tmp_path / "data")
    exported(tmp_path / "weights", sorted(map(nfd, CLASSES)))
    code, _, errors = run("evaluate", "weights", "--data", "folder:data")
    assert code == 2
    assert "has the model's classes in another order, from 'cafz' on" in errors


def test_a_checkpoint_names_its_classes_in_either_form():
    here = {"classes": list(CLASSES), "seed": 0}
    assert difference(here, {"classes": list(map(nfd, CLASSES)), "seed": 0}) is None
    assert difference(here, {"classes": list(CLASSES[::-1]), "seed": 0}) is not None


def test_labels_of_either_form():
    both = [nfd("caf\u00e9"), "caf\u00e9"]
    classes, numbers = number_classes(None, ["the", *both], "x")
    assert (classes, numbers) == (("caf\u00e9", "the"), {"caf\u00e9": 0, "the": 1})
    assert number_classes(["the", *both], [], "x") == (("the", "caf\u00e9"), {0: 0, 1: 1, 2: 1})
    with pytest.raises(UsageError, match="has only the class"):
        number_classes(both, [], "x")
    require_one_spelling(both, [0, 0, -1, None], "x")
    for names, labels in ((both, [0, 1]), (None, both)):
        with pytest.raises(UsageError, match=r"'cafe\\u0301' and 'caf\\xe9' differ in their Unic"):
            require_one_spelling(names, labels, "x")


def test_hf_folders_of_either_form(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = load_data(f"hf:{pictures(tmp_path / 'data', 'NFC', 'NFD')}")
    assert set(data.classes) == set(CLASSES)
    assert data.train.labels.tolist().count(0) == data.test.labels.tolist().count(0) == 2
    one = pictures(tmp_path / "other") / "train" / CLASSES[1]
    shutil.copytree(one, one.with_name(nfd(CLASSES[1])))
    with pytest.raises(UsageError, match="split 'train' has two labels of the class") as error:
        load_data(f"hf:{tmp_path / 'other'}")
    assert r"'cafe\u0301' and 'caf\xe9'" in str(error.value)
