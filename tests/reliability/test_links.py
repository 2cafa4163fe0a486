"""Links in a folder of images: to images, to folders, to nowhere, and in a circle."""

import os

import pytest
import torch

from folders import make_folder
from layerdropback import UsageError
from layerdropback.training.images.data import load_data
from layerdropback.training.images.folder import list_folder


def moved_out(root, *parts):
    """Put a folder elsewhere, and a link in its place."""
    place = root.joinpath(*parts)
    target = root.parent / "elsewhere" / "-".join(parts)
    target.parent.mkdir(exist_ok=True)
    place.rename(target)
    place.symlink_to(target)


@pytest.mark.parametrize("parts", [("train",), ("train", "cat"), ("test", "dog")])
def test_a_link_to_a_folder_is_as_good_as_the_folder(tmp_path, parts):
    plain = load_data(f"folder:{make_folder(tmp_path / 'plain')}")
    root = make_folder(tmp_path / "linked")
    moved_out(root, *parts)
    linked = load_data(f"folder:{root}")
    assert torch.equal(plain.train.pixels, linked.train.pixels)
    assert linked.classes == plain.classes


def test_links_inside_a_class_are_followed(tmp_path):
    root = make_folder(tmp_path / "images")
    inner = root / "train" / "cat" / "inner"
    inner.mkdir()
    for name in ("0.png", "1.png"):
        (root / "train" / "cat" / name).rename(inner / name)
    before = load_data(f"folder:{root}").train
    moved_out(root, "train", "cat", "inner")
    after = load_data(f"folder:{root}").train
    assert len(after) == len(before) == 8
    assert after.fingerprint() == before.fingerprint()


def test_circles_have_an_end(tmp_path):
    root = make_folder(tmp_path)
    one, other = root / "train" / "cat" / "a", root / "train" / "cat" / "b"
    for folder in (one, other):
        folder.mkdir()
        os.link(root / "train" / "cat" / "0.png", folder / "x.png")
    (root / "train" / "cat" / "up").symlink_to(root / "train" / "cat")
    (one / "over").symlink_to(other)
    (other / "back").symlink_to(one)
    _, train, _, _ = list_folder(root)
    names = [os.fsdecode(name) for name in train.items]
    assert len(names) == 4 + 2 + 4
    assert len(names) == len({os.path.realpath(root / "train" / name) for name in names})
    assert names == [os.fsdecode(name) for name in list_folder(root)[1].items]


def test_a_link_to_an_image_is_read_and_one_to_nowhere_named(tmp_path):
    root = make_folder(tmp_path)
    file = root / "train" / "cat" / "0.png"
    file.rename(tmp_path / "kept.png")
    file.symlink_to(tmp_path / "kept.png")
    assert len(load_data(f"folder:{root}").train) == 8
    (tmp_path / "kept.png").unlink()
    with pytest.raises(UsageError, match="cannot read the image .*0.png. Cause: .*No such file"):
        load_data(f"folder:{root}")
