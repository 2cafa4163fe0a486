"""Images that cannot be read in the middle of a set: named, counted, skipped if that is asked."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from command import metrics_of, stop_after
from folders import make_folder
from layerdropback import UsageError
from layerdropback.training.images.augment import EpochOrder
from layerdropback.training.images.data import load_data
from layerdropback.training.images.folder import list_folder
from layerdropback.training.images.unreadable import Unread, Unreadable
from outcome import digest
from resuming import numbers

SKIPPED = "images cannot be read, and are skipped: "
LAZY = ["--in-memory", "no", "--image-size", "16"]


@pytest.fixture(autouse=True)
def _warnings_are_said():
    warnings.simplefilter("always")


def spoil(*files):
    for file in files:
        file.write_bytes(file.read_bytes()[:60])


@pytest.fixture
def spoiled(pictures, tmp_path):
    """The flags of a run on a folder with two training images and a test image that are cut off."""
    root = tmp_path / "images"
    shutil.copytree(root, tmp_path / "intact")
    bad = [root / "train" / "cat" / "5.png", root / "train" / "dog" / "20.png"]
    spoil(*bad, root / "test" / "dog" / "1.png")
    return ["train", *pictures, "--unreadable", "skip"]


def test_in_memory_they_are_left_out(run, tmp_path, spoiled):
    code, _, errors = run(*spoiled, "--out", "run")
    assert code == 0
    train, test = errors.splitlines()
    assert f"ldb: warning: 2 {SKIPPED}'images/train/cat/5.png', 'images/train/dog/20.png'." in train
    assert f"ldb: warning: 1 {SKIPPED}'images/test/dog/1.png'. Cause: " in test
    assert "Cure: replace them, or remove them before a run begins." in train
    root = tmp_path / "images"
    for file in ("train/cat/5.png", "train/dog/20.png", "test/dog/1.png"):
        (root / file).unlink()
    assert run(*spoiled, "--out", "without")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "without")
    assert metrics_of(tmp_path / "run")[0]["unreadable"] == 0


def test_read_one_by_one_the_next_is_taken(run, tmp_path, spoiled):
    code, output, errors = run(*spoiled, *LAZY, "--out", "run")
    assert code == 0
    train, test = errors.splitlines()  # each is named once, in the first epoch
    assert f"ldb: warning: 2 {SKIPPED}" in train
    assert f"ldb: warning: 1 {SKIPPED}'images/test/dog/1.png'" in test
    assert errors.count(".png'") == 3
    assert [row["unreadable"] for row in metrics_of(tmp_path / "run")] == [3, 3]
    assert output.count("  3 images unreadable\n") == 2
    # As if the next image had its place, and the test image were not there.
    shutil.copytree(tmp_path / "images", tmp_path / "mended")
    train = tmp_path / "mended" / "train"
    shutil.copy(train / "cat" / "6.png", train / "cat" / "5.png")
    shutil.copy(train / "dog" / "21.png", train / "dog" / "20.png")
    (tmp_path / "mended" / "test" / "dog" / "1.png").unlink()
    flags = [flag if flag != "folder:images" else "folder:mended" for flag in spoiled]
    code, _, errors = run(*flags, *LAZY, "--out", "mended-run")
    assert (code, errors) == (0, "")
    mended = numbers(tmp_path / "mended-run")
    assert [row | {"unreadable": 3} for row in mended] == numbers(tmp_path / "run")


@pytest.mark.slow
def test_stopped_in_the_midst_it_counts_on(run, tmp_path, spoiled):
    flags = [*spoiled, *LAZY, "--workers", "1"]
    assert run(*spoiled, *LAZY, "--out", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        assert run(*flags, "--out", "run")[0] == 143
    assert run("train", "--out", "run", "--resume", "--unreadable", "skip")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


def test_by_default_they_end_the_run_which_can_go_on(run, tmp_path, pictures):
    order = EpochOrder(48, seed=0)
    order.set_epoch(0)
    root, last = tmp_path / "images", list(order)[-1]
    spoil(root / "train" / os.fsdecode(list_folder(root)[1].items[last]))
    flags = ["train", *pictures, *LAZY, "--checkpoint-every", "1"]
    assert run(*flags, "--unreadable", "skip", "--out", "whole")[0] == 0
    code, _, errors = run(*flags, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "cannot read the image " in errors
    assert "Cure: replace it, or remove it before a run begins" in errors
    code, output, _ = run("train", "--out", "run", "--resume", "--unreadable", "skip")
    assert code == 0
    assert "resumed from step-000000005" in output
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


@pytest.mark.slow
def test_it_is_tested_as_it_was(run, tmp_path, spoiled):
    assert run(*spoiled, *LAZY, "--out", "run")[0] == 0
    code, output, errors = run("evaluate", "run")
    assert code == 0
    assert "on 11 test images" in output
    assert f"1 {SKIPPED}" in errors


def test_a_batch_of_the_test_may_have_none(run, tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("layerdropback.training.images.pipeline._TEST_BATCH", 4)
    root = tmp_path / "images" / "test" / "dog"
    spoil(*(root / f"{number}.png" for number in (2, 3, 4, 5)))
    flags = ["train", *pictures, "--epochs", "1", *LAZY, "--unreadable", "skip"]
    assert run(*flags, "--out", "run")[0] == 0
    assert metrics_of(tmp_path / "run")[0]["unreadable"] == 4
    for file in root.glob("[2345].png"):
        file.unlink()
    assert run(*flags, "--out", "without")[0] == 0
    (with_them,), (without,) = numbers(tmp_path / "run"), numbers(tmp_path / "without")
    assert with_them == without | {"unreadable": 4}


@pytest.mark.slow
def test_a_set_of_such_images_is_refused(run, tmp_path, pictures):
    for file in (tmp_path / "images" / "train").rglob("*.png"):
        file.write_bytes(b"")
    for more in ([], LAZY):
        code, _, errors = run("train", *pictures, *more, "--unreadable", "skip", "--out", "run")
        assert code == 2
        assert "cannot read the image " in errors
        assert "Traceback" not in errors


def test_the_first_one_may_be_such_a_one(tmp_path):
    spoil(make_folder(tmp_path) / "train" / "cat" / "0.png")
    with pytest.warns(UserWarning, match="1 images cannot be read"):
        data = load_data(f"folder:{tmp_path}", unreadable="skip")
    assert len(data.train) == 7


def test_what_is_wrong_with_others_is_no_damage(tmp_path):
    file = make_folder(tmp_path) / "train" / "cat" / "0.png"
    Image.fromarray(np.full((8, 8), 4096, dtype=np.uint16)).save(file)
    with pytest.raises(UsageError, match="more than 8 bits a channel"):
        load_data(f"folder:{tmp_path}", unreadable="skip")


def test_each_is_named_once_by_all_ranks():
    class Two:
        def gathered(self, mine):
            return [mine, {"b.png": "empty"}]

    unread = Unread()
    unread.add([Unreadable("a.png", "empty")])
    with pytest.warns(UserWarning, match="2 images cannot be read, and are skipped: 'a.png', 'b.p"):
        unread.tell(Two())
    unread.add([Unreadable("a.png", "empty")])
    unread.tell(Two())
    assert unread.take() == 2
