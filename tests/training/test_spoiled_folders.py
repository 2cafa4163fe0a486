"""Folders of images with something wrong in them."""

import numpy as np
import pytest
from PIL import Image

from folders import make_folder
from layerdropback import UsageError
from layerdropback.training.images.data import load_data


def spoil_missing_train(root):
    (root / "train").rename(root / "training")


def spoil_empty_class(root):
    for file in (root / "train" / "dog").iterdir():
        file.unlink()


def spoil_other_classes(root):
    (root / "test" / "dog").rename(root / "test" / "wolf")


def spoil_unreadable(root):
    (root / "train" / "cat" / "0.png").write_bytes(b"no image at all")


def spoil_truncated(root):
    file = root / "test" / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:60])


def spoil_size(root):
    Image.new("RGB", (9, 8)).save(root / "train" / "dog" / "3.png")


def spoil_shape(root):
    Image.new("RGB", (9, 8)).save(root / "train" / "cat" / "0.png")


def spoil_no_classes(root):
    for split in ("train", "test"):
        (root / split).rename(root / f"{split}-old")
        (root / split).mkdir()


def spoil_link(root):
    (root / "train" / "cat" / "dead.png").symlink_to("nowhere.png")


def spoil_chunk(root):
    file = root / "train" / "dog" / "0.png"
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 0xFF
    file.write_bytes(data)


def spoil_depth(root):
    file = root / "train" / "cat" / "0.png"
    Image.fromarray(np.full((8, 8), 4096, dtype=np.uint16)).save(file)


SPOILED = [
    (spoil_link, r"cannot read the image .*dead.png"),
    (spoil_chunk, r"cannot read the image .*dog/0.png"),
    (spoil_depth, r"0.png has more than 8 bits a channel"),
    (spoil_missing_train, r"no folder .*train\. Cause: the layout is DIR/train/<class>"),
    (spoil_empty_class, r"class folder .*dog has no images"),
    (spoil_other_classes, r"class 'dog' is in .*train, but not in .*test"),
    (spoil_unreadable, r"cannot read the image .*cat/0.png\. Cause: .*cannot identify"),
    (spoil_truncated, r"cannot read the image .*cat/0.png"),
    (spoil_size, r"3.png has 9x8 pixels, others have 8x8.*--image-size"),
    (spoil_shape, r"0.png has 9x8 pixels\. Cause: square images are needed.*--image-size"),
    (spoil_no_classes, r"train has no class folders"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_a_folder_with_something_wrong_is_told_in_one_line(tmp_path, spoil, message):
    spoil(make_folder(tmp_path))
    with pytest.raises(UsageError, match=message) as error:
        load_data(f"folder:{tmp_path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spoil", [spoil_unreadable, spoil_depth])
def test_a_lazy_image_with_something_wrong_is_told_as_in_memory(tmp_path, spoil):
    spoil(make_folder(tmp_path))
    with pytest.raises(UsageError) as held:
        load_data(f"folder:{tmp_path}", image_size=8)
    data = load_data(f"folder:{tmp_path}", image_size=8, in_memory="no")
    assert data.train.read(1).shape == (3, 8, 8)
    with pytest.raises(UsageError) as lazy:
        data.train.read(0)
    assert str(lazy.value) == str(held.value)
