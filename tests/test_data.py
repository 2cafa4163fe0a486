import numpy as np
import pytest
import torch
from PIL import Image

from layerdropback import UsageError
from layerdropback.training.data import _require_memory, load_data
from layerdropback.training.folder import list_folder, stratified


def make_folder(root, classes=("cat", "dog"), train=4, test=2, size=(8, 8), mode="RGB"):
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
                pixels = generator.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def test_digits_are_split_the_same_way_every_time():
    one, other = load_data("digits"), load_data("digits")
    assert (len(one.train), len(one.test)) == (1437, 360)
    assert torch.equal(one.train.pixels, other.train.pixels)
    assert one.train.pixels.dtype == torch.uint8
    assert one.train.pixels.max() == 255
    assert (one.channels, one.size, one.flips) == (1, 8, False)
    assert torch.bincount(one.test.labels).min() >= 34


def test_limits_take_the_same_share_of_each_class():
    data = load_data("digits", limit_train=100, limit_test=20)
    assert torch.bincount(data.train.labels).tolist() == [10] * 10
    assert torch.bincount(data.test.labels).tolist() == [2] * 10
    assert stratified([0, 0, 0, 1], 3) == sorted(stratified([0, 0, 0, 1], 3))
    assert 3 in stratified([0, 0, 0, 1], 2)


def test_a_folder_is_read_pixel_by_pixel(tmp_path):
    data = load_data(f"folder:{make_folder(tmp_path)}")
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    pixels = np.array(Image.open(tmp_path / "train" / "dog" / "1.png"))
    assert torch.equal(data.train.pixels[5], torch.from_numpy(pixels).permute(2, 0, 1))
    mean, std = data.statistics()
    assert len(mean) == len(std) == 3
    scaled = data.train.pixels.double() / 255
    torch.testing.assert_close(torch.tensor(mean).double(), scaled.mean((0, 2, 3)))
    expected = scaled.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(std).double(), expected)


def test_grey_and_other_sizes_become_colour_of_one_size(tmp_path):
    make_folder(tmp_path, size=(12, 9), mode="L")
    data = load_data(f"folder:{tmp_path}", image_size=8)
    assert data.train.pixels.shape == (8, 3, 8, 8)


def test_what_is_hidden_or_no_file_is_no_image(tmp_path):
    make_folder(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / ".ipynb_checkpoints").mkdir()
        (tmp_path / split / "notes.txt").write_text("no class")
    (tmp_path / "train" / "cat" / "._0.jpg").write_bytes(b"resource fork")
    (tmp_path / "train" / "cat" / "folder.jpg").mkdir()
    data = load_data(f"folder:{tmp_path}")
    assert data.classes == ("cat", "dog")
    assert len(data.train) == 8
    assert data.remark == ""
    (tmp_path / "test" / "dog" / "a.heic").write_bytes(b"")
    (tmp_path / "train" / "dog" / "b.HEIC").write_bytes(b"")
    remark = load_data(f"folder:{tmp_path}").remark
    assert remark == "ignored files, no images by their names: 2 .heic"


def test_folders_limit(tmp_path):
    data = load_data(f"folder:{make_folder(tmp_path)}", limit_train=4, limit_test=2)
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]


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


def test_other_data_is_told():
    with pytest.raises(UsageError, match="no folder /nowhere"):
        load_data("folder:/nowhere")
    for spec in ("folder:", "mnist", "digits:x"):
        with pytest.raises(UsageError, match=f"--data {spec} is unknown.*'digits' or 'folder:DIR'"):
            load_data(spec)
    with pytest.raises(UsageError, match="--image-size 9 is not usable"):
        load_data("digits", image_size=9)
    with pytest.raises(UsageError, match="--data folder:~nobody-here/x is not usable"):
        load_data("folder:~nobody-here/x")


def test_one_class_is_no_classification(tmp_path):
    make_folder(tmp_path, classes=("cat",))
    with pytest.raises(UsageError, match="has only the class 'cat'"):
        list_folder(tmp_path)


def test_what_does_not_fit_in_memory_is_told():
    with pytest.raises(UsageError, match=r"the images need .* GiB, and .* GiB are free"):
        _require_memory(2**60)
