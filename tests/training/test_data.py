import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from folders import make_folder
from layerdropback import UsageError
from layerdropback.training.images import holding
from layerdropback.training.images.choosing import choose_test, stratified
from layerdropback.training.images.data import LazySplit, Split, load_data
from layerdropback.training.images.folder import list_folder


def test_digits_are_split_the_same_way_every_time():
    one, other = load_data("digits"), load_data("digits")
    assert (len(one.train), len(one.test)) == (1437, 360)
    assert torch.equal(one.train.pixels, other.train.pixels)
    assert one.train.pixels.dtype == torch.uint8
    assert one.train.pixels.max() == 255
    assert (one.channels, one.size, one.flips) == (1, 8, False)
    assert torch.bincount(one.test.labels).min() >= 34


def test_some_of_the_digits_are_split_as_all_are():
    whole, some = load_data("digits"), load_data("digits:852")
    assert some.classes == ("2", "5", "8")
    for split, part in ((whole.train, some.train), (whole.test, some.test)):
        chosen = [label in (2, 5, 8) for label in split.labels.tolist()]
        assert torch.equal(part.pixels, split.pixels[chosen])
        assert torch.equal(torch.tensor([2, 5, 8])[part.labels], split.labels[chosen])
    assert load_data("digits:0123456789").train.fingerprint() == whole.train.fingerprint()


@pytest.mark.parametrize("wanted", ["", "3", "33", "1-3", "12x"])
def test_digits_that_are_none_are_refused(wanted):
    with pytest.raises(UsageError, match=f"--data digits:{wanted} is unknown. Cause: each char"):
        load_data(f"digits:{wanted}")


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


def test_digits_keep_their_pixels_and_carry_the_side_that_is_wanted():
    data = load_data("digits", image_size=16)
    assert data.train.pixels.shape[2:] == (8, 8)
    assert (data.size, data.image_size, data.in_memory) == (16, 16, True)
    assert load_data("digits").image_size is None
    assert data.statistics() == load_data("digits").statistics()


def test_val_stands_in_for_test(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.test), data.remark) == (4, "tested on 'val'")
    make_folder(tmp_path / "other", test=3)
    (tmp_path / "other" / "test").rename(tmp_path / "test")
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.test), data.remark) == (6, "tested on 'test', not on 'val'")


def test_a_test_folder_without_classes_gives_way_to_val(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    (tmp_path / "test").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "test" / "0.png")
    data = load_data(f"folder:{tmp_path}")
    assert (len(data.test), data.remark) == (4, "tested on 'val', not on 'test'")


def test_the_split_to_test_on():
    assert choose_test(["train"], lambda split: True) is None
    assert choose_test(["validation"], lambda split: True) == (
        "validation",
        "tested on 'validation'",
    )
    assert choose_test(["train", "test"], lambda split: False) == ("test", "")


def test_lazy_images_are_those_of_the_memory(tmp_path):
    make_folder(tmp_path)
    held = load_data(f"folder:{tmp_path}", limit_train=5, in_memory="yes")
    lazy = load_data(f"folder:{tmp_path}", limit_train=5, in_memory="no")
    assert isinstance(held.train, Split)
    assert isinstance(lazy.train, LazySplit)
    assert (held.in_memory, lazy.in_memory) == (True, False)
    assert (lazy.size, lazy.channels, lazy.flips, lazy.classes) == (8, 3, True, ("cat", "dog"))
    for kept, split in ((held.train, lazy.train), (held.test, lazy.test)):
        assert len(kept) == len(split)
        assert torch.equal(kept.labels, split.labels)
        other = pickle.loads(pickle.dumps(split))  # as it goes to a loader's workers
        for index in range(len(split)):
            image = other.read(index)
            assert image.dtype == torch.uint8
            assert torch.equal(image, kept.pixels[index])
    mean, std = lazy.statistics()
    assert (mean, std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_lazy_images_keep_their_size(tmp_path):
    make_folder(tmp_path, size=(12, 9), mode="L")
    data = load_data(f"folder:{tmp_path}", image_size=100)
    assert not data.in_memory  # above 64 pixels
    assert data.size == 100
    image = data.train.read(1)
    assert image.shape == (3, 9, 12)
    pixels = torch.from_numpy(np.array(Image.open(tmp_path / "train" / "cat" / "1.png")))
    assert torch.equal(image, pixels.expand(3, 9, 12))


def test_what_takes_much_of_the_memory_is_lazy(tmp_path, monkeypatch):
    spec = f"folder:{make_folder(tmp_path)}"
    needed = 12 * 3 * 8 * 8
    monkeypatch.setattr(holding, "_free_memory", lambda: 4 * needed)
    assert load_data(spec).in_memory
    monkeypatch.setattr(holding, "_free_memory", lambda: 4 * needed - 1)
    assert not load_data(spec).in_memory
    assert load_data(spec, in_memory="yes").in_memory
    assert load_data(spec, limit_train=4).in_memory
    monkeypatch.setattr(holding, "_free_memory", lambda: needed)
    with pytest.raises(UsageError, match=r"the images need .*--in-memory no"):
        load_data(spec, in_memory="yes")


def test_large_images_need_a_size_or_memory(tmp_path):
    spec = f"folder:{make_folder(tmp_path, train=1, test=1, size=(65, 65))}"
    message = r"cat/0.png has 65x65 pixels.*above 64 .*give --image-size, or --in-memory yes"
    for in_memory in ("auto", "no"):
        with pytest.raises(UsageError, match=message):
            load_data(spec, in_memory=in_memory)
    assert load_data(spec, in_memory="yes").train.pixels.shape == (2, 3, 65, 65)
    assert load_data(spec, image_size=64).train.pixels.shape == (2, 3, 64, 64)


def test_images_are_turned_the_right_way_up(tmp_path):
    make_folder(tmp_path, size=(8, 6))
    upright = Image.open(tmp_path / "train" / "cat" / "0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: the camera was held upright
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "train" / "cat" / "0.png", exif=exif)
    expected = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
    data = load_data(f"folder:{tmp_path}", image_size=8, in_memory="no")
    assert torch.equal(data.train.read(0), expected)
    held = load_data(f"folder:{tmp_path}", image_size=8)
    (tmp_path / "train" / "cat" / "0.png").unlink()
    upright.save(tmp_path / "train" / "cat" / "0.png")
    again = load_data(f"folder:{tmp_path}", image_size=8)
    assert torch.equal(held.train.pixels, again.train.pixels)


def test_folders_limit(tmp_path):
    data = load_data(f"folder:{make_folder(tmp_path)}", limit_train=4, limit_test=2)
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]


def test_other_data_is_told(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no folder /nowhere"):
        load_data("folder:/nowhere")
    known = "'digits', 'digits:0123', 'cifar10', .*'fashion-mnist', 'folder:DIR' or 'hf:NAME'"
    for spec in ("folder:", "hf:", "imagenet"):
        with pytest.raises(UsageError, match=f"--data {spec} is unknown. Cause: it is {known}"):
            load_data(spec)
    with pytest.raises(UsageError, match=r"Cure: did you mean 'cifar10'\?"):
        load_data("CIFAR-10")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    with pytest.raises(UsageError, match="give 'folder:pets'"):
        load_data("pets")
    with pytest.raises(UsageError, match="--data folder:~nobody-here/x is not usable"):
        load_data("folder:~nobody-here/x")
    with pytest.raises(UsageError, match="--data-dir ~nobody-here is not usable"):
        load_data("mnist", data_dir=Path("~nobody-here"))
    with pytest.raises(UsageError, match="--in-memory maybe is not usable"):
        load_data("digits", in_memory="maybe")
    with pytest.raises(UsageError, match="--in-memory no is not usable.*digits is always in mem"):
        load_data("digits", in_memory="no")


def test_one_class_is_no_classification(tmp_path):
    make_folder(tmp_path, classes=("cat",))
    with pytest.raises(UsageError, match="has only the class 'cat'"):
        list_folder(tmp_path)


def test_what_does_not_fit_in_memory_is_told():
    with pytest.raises(UsageError, match=r"the images need .* GiB, and .* GiB are free"):
        holding._require_memory(2**60)


def test_images_in_folders_of_a_class_are_its_images(tmp_path):
    """As Tiny-ImageNet has them."""
    make_folder(tmp_path)
    for name in ("cat", "dog"):
        folder = tmp_path / "train" / name
        (folder / "images" / ".hidden").mkdir(parents=True)
        (folder / "0.png").rename(folder / "images" / "0.png")
        (folder / "images" / ".hidden" / "1.png").write_bytes(b"")
    data = load_data(f"folder:{tmp_path}")
    assert len(data.train) == 8
    assert data.remark == ""


def test_other_images_have_another_fingerprint(tmp_path):
    make_folder(tmp_path)

    def fingerprints():
        return [
            load_data(f"folder:{tmp_path}", 8, in_memory=held).train.fingerprint()
            for held in ("yes", "no")
        ]

    before = fingerprints()
    assert fingerprints() == before
    pixels = np.array(Image.open(tmp_path / "train" / "cat" / "0.png"))
    Image.fromarray(255 - pixels).save(tmp_path / "train" / "cat" / "0.png")
    held, lazy = fingerprints()
    assert (held != before[0], lazy == before[1]) == (True, True), "files are told by their names"
    (tmp_path / "train" / "cat" / "0.png").rename(tmp_path / "train" / "cat" / "5.png")
    assert fingerprints()[1] != before[1]
