"""A data set that changes between a stop and the resume: said and refused, as far as it is seen."""

import shutil

import pytest
from PIL import Image

from resuming import numbers, stopped

LAZY = ["--in-memory", "no", "--image-size", "16"]
CHANGED = "is of another run (the images changed since it began)"


def added(root):
    shutil.copy(root / "train" / "cat" / "0.png", root / "train" / "cat" / "99.png")


def removed(root):
    (root / "train" / "dog" / "7.png").unlink()


def renamed_file(root):
    (root / "train" / "dog" / "7.png").rename(root / "train" / "dog" / "7x.png")


def removed_test(root):
    (root / "test" / "dog" / "1.png").unlink()


def renamed_class(root):
    for split in ("train", "test"):
        (root / split / "dog").rename(root / split / "wolf")


def swapped_classes(root):
    for split in ("train", "test"):
        (root / split / "dog").rename(root / split / "x")
        (root / split / "cat").rename(root / split / "dog")
        (root / split / "x").rename(root / split / "cat")


def new_class(root):
    for split in ("train", "test"):
        shutil.copytree(root / split / "dog", root / split / "emu")


def changed(root):
    file = root / "train" / "dog" / "7.png"
    Image.open(file).rotate(90).save(file)


CHANGES = [added, removed, renamed_file, removed_test, swapped_classes, new_class, changed]
# What a folder's list of names does not show.
UNSEEN = (swapped_classes, changed)
# What the images held in memory do not show, and need not.
EQUAL = (renamed_file,)


@pytest.mark.parametrize("lazy", [False, True], ids=["held", "lazy"])
@pytest.mark.parametrize(
    "change",
    [renamed_class, *(pytest.param(change, marks=pytest.mark.slow) for change in CHANGES)],
    ids=lambda change: change.__name__,
)
def test_a_change_is_refused(run, tmp_path, pictures, change, lazy):
    flags = [*pictures, *(LAZY if lazy else [])]
    stopped(run, *flags)
    before = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    change(tmp_path / "images")
    code, _, errors = run("train", "--out", "run", "--resume")
    if change in (UNSEEN if lazy else EQUAL):
        assert code == 0
        return
    assert (code, errors.count("\n")) == (2, 1)
    assert CHANGED in errors
    assert before == sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.slow
def test_put_back_it_goes_on(run, tmp_path, images):
    stopped(run, *images)
    shutil.copytree(tmp_path / "images", tmp_path / "kept")
    removed(tmp_path / "images")
    assert run("train", "--out", "run", "--resume")[0] == 2
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "kept").rename(tmp_path / "images")
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")
