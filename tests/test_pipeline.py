import multiprocessing
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.data import BatchSampler

from layerdropback import UsageError
from layerdropback.engine.batching import BatchScaler
from layerdropback.training.images.augment import Augments
from layerdropback.training.images.data import Split
from layerdropback.training.images.pipeline import Pipeline

CPU = torch.device("cpu")
COUNT, SIZE = 24, 16
PAD = Augments(crop="pad", flip=True)
BY_IMAGE = Augments("resized", True, rotate=10.0, randaugment=True, erasing=0.5)
MIXED = {"mixup": 0.4, "cutmix": 1.0}
NONE = Augments.none()
MESSAGE = "cannot read the image photo.png. Cause: it is broken. Cure: replace it."


@dataclass
class Files:
    """Images of any shape, made when they are read."""

    labels: torch.Tensor
    channels: int = 3
    broken: tuple[int, ...] = ()

    def __len__(self):
        return len(self.labels)

    def read(self, index):
        if index in self.broken:
            raise UsageError(MESSAGE)
        generator = torch.Generator().manual_seed(index)
        shape = (self.channels, 20 + index % 7, 20 + index % 5)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def in_memory(channels=3, size=SIZE, side=SIZE, count=COUNT):
    generator = torch.Generator().manual_seed(7)
    shape = (count, channels, side, side)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    split = Split(pixels, torch.arange(count) % 3)
    return data(split, split, size)


def from_files(channels=3, size=SIZE, **broken):
    labels = torch.arange(COUNT) % 3
    train, test = (Files(labels, channels, broken.get(name, ())) for name in ("train", "test"))
    return data(train, test, size)


def data(train, test, size):
    return SimpleNamespace(train=train, test=test, classes=("a", "b", "c"), size=size)


# The three ways from images to batches.
WAYS = {
    "on the device": (in_memory, replace(PAD, rotate=10.0)),
    "memory, by image": (in_memory, BY_IMAGE),
    "files": (from_files, replace(PAD, randaugment=True)),
}
every_way = pytest.mark.parametrize("way", WAYS)


def pipeline(images, augments=NONE, channels=3, **changed):
    arguments = {"batch_size": 4, "seed": 0, "device": CPU} | changed
    mean, std = [0.4, 0.5, 0.6][:channels], [0.1, 0.2, 0.3][:channels]
    return Pipeline(images, augments, mean=mean, std=std, **arguments)


def made(way, mixed=False, **changed):
    images, augments = WAYS[way]
    return pipeline(images(), replace(augments, **MIXED) if mixed else augments, **changed)


def numbers(batch):
    return (batch if isinstance(batch, torch.Tensor) else batch[1]).tolist()


def epoch(pipe, number=0, skip=0):
    """All batches of an epoch: numbers of the images, images, targets."""
    pipe.set_epoch(number, skip)
    made = ((batch, pipe(batch)) for batch in pipe.loader)
    return [(numbers(batch), *result) for batch, result in made]


def by_number(pipe, number=0):
    """Each image of an epoch by its number in the data set."""
    return {
        index: image
        for chosen, images, _ in epoch(pipe, number)
        for index, image in zip(chosen, images, strict=True)
    }


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])


def normalized(pixels):
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    return (pixels / 255 - mean[:, None, None]) / std[:, None, None]


# ---- pure functions of (seed, epoch, sample) -----------------------------------------------------


@every_way
@pytest.mark.parametrize("mixed", [False, True])
def test_an_epoch_depends_on_its_seed_and_number_alone(way, mixed):
    first = epoch(made(way, mixed, seed=5), 3)
    torch.manual_seed(99)  # read by nobody
    other = made(way, mixed, seed=5)
    epoch(other, 2)
    same(epoch(other, 3), first)
    for changed in (epoch(other, 4), epoch(made(way, mixed, seed=6), 3)):
        assert not torch.equal(changed[0][1], first[0][1])


@every_way
def test_an_image_is_augmented_alike_in_batches_of_any_size(way):
    first, second = (by_number(made(way, batch_size=size), 1) for size in (4, 8))
    assert first.keys() == second.keys() == set(range(COUNT))
    assert all(torch.equal(first[index], second[index]) for index in first)
    again = by_number(made(way), 2)
    assert not any(torch.equal(first[index], again[index]) for index in first)


@every_way
@pytest.mark.parametrize("mixed", [False, True])
def test_workers_change_nothing(way, mixed):
    alone, helped = made(way, mixed), made(way, mixed, workers=2)
    for number in (0, 1):  # the second one by workers that are there already
        same(epoch(alone, number), epoch(helped, number))
    tested = [torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in both(alone, helped)]
    assert tested == [True]


def both(*pipes):
    return zip(*(pipe.test_batches() for pipe in pipes), strict=True)


@every_way
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_where_it_stopped(way, mixed, workers):
    whole = epoch(made(way, mixed), 2)
    resumed = made(way, mixed, workers=workers)
    same(epoch(resumed, 2, skip=12), whole[3:])
    assert epoch(resumed, 2, skip=COUNT) == []
    same(epoch(resumed, 2), whole)


@every_way
def test_a_pass_that_was_left_early_leaves_nothing_behind(way):
    pipe = made(way, workers=1)
    for _ in pipe.loader:
        break
    same(epoch(pipe, 1), epoch(made(way), 1))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 5))
def test_any_skip_gives_the_rest_of_any_epoch(seed, number, batches, batch_size):
    def pipe():
        images = in_memory(1, 4, 4, 10)
        augments = Augments(rotate=5, **MIXED)
        return pipeline(images, augments, 1, seed=seed, batch_size=batch_size)

    whole = epoch(pipe(), number)
    assert len({index for chosen, _, _ in whole for index in chosen}) == len(whole) * batch_size
    skip = min(batches, len(whole))
    same(epoch(pipe(), number, skip * batch_size), whole[skip:])


@every_way
@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_stay_where_they_are(way, workers):
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = states()
    pipe = made(way, mixed=True, workers=workers)
    epoch(pipe)
    epoch(pipe, 1, skip=4)
    list(pipe.test_batches())
    assert states() == before


def test_more_than_there_is_cannot_be_skipped():
    with pytest.raises(ValueError, match="cannot skip 25 of 24 images"):
        made("files").set_epoch(0, skip=25)


# ---- what comes out ------------------------------------------------------------------------------


@every_way
def test_batches_are_normalised_floats_with_their_labels(way):
    pipe = made(way)
    assert len(pipe.loader) == 6
    for chosen, images, labels in epoch(pipe):
        assert images.shape == (4, 3, SIZE, SIZE)
        assert images.dtype == torch.float32
        torch.testing.assert_close(labels, torch.tensor(chosen) % 3)
        low, high = normalized(torch.tensor([0, 255])[:, None, None, None].expand(2, 3, 1, 1))
        assert (images >= low - 1e-4).all()
        assert (images <= high + 1e-4).all()


def test_without_augmentation_images_in_memory_are_only_normalised():
    images = in_memory()
    pipe = pipeline(images)
    for chosen, batch, _ in epoch(pipe):
        torch.testing.assert_close(batch, normalized(images.train.pixels[chosen]))
    ((tested, labels),) = pipe.test_batches()
    torch.testing.assert_close(tested, normalized(images.test.pixels))
    assert torch.equal(labels, images.test.labels)


@pytest.mark.parametrize("augments", [NONE, PAD, BY_IMAGE, replace(BY_IMAGE, crop="none")])
@pytest.mark.parametrize("side", [8, 16, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_memory_are_resized(augments, side, channels):
    images = in_memory(channels, side=side)
    pipe = pipeline(images, augments, channels)
    assert epoch(pipe)[0][1].shape == (4, channels, SIZE, SIZE)
    ((tested, _),) = pipe.test_batches()
    assert tested.shape == (COUNT, channels, SIZE, SIZE)


def test_resizing_keeps_the_picture():
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).expand(4, 1, 32, 32)
    split = Split(ramp, torch.zeros(4, dtype=torch.int64))
    ((tested, _),) = Pipeline(
        data(split, split, 16), NONE, batch_size=2, seed=0, device=CPU, mean=[0], std=[1]
    ).test_batches()
    halved = functional.avg_pool2d(ramp.float(), 2) / 255
    torch.testing.assert_close(tested[..., 1:-1], halved[..., 1:-1], atol=1 / 255, rtol=0)


@pytest.mark.parametrize("augments", [NONE, PAD, replace(BY_IMAGE, **MIXED)])
@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_shape_are_read(augments, size, channels):
    pipe = pipeline(from_files(channels, size), augments, channels)
    assert epoch(pipe)[0][1].shape == (4, channels, size, size)
    ((tested, labels),) = pipe.test_batches()
    assert tested.shape == (COUNT, channels, size, size)
    assert torch.equal(labels, torch.arange(COUNT) % 3)


@pytest.mark.parametrize(("size", "border"), [(14, 1), (16, 2), (32, 4)])
def test_of_a_larger_image_a_margin_is_cut_off(size, border):
    # White with a black frame: 14 pixels are cut out of 16, as 224 are out of 256.
    class Framed(Files):
        def read(self, index):
            return functional.pad(torch.full((3, 12, 12), 255, dtype=torch.uint8), (2,) * 4)

    split = Framed(torch.zeros(4, dtype=torch.int64))
    pipe = pipeline(data(split, split, size))
    ((tested, _),) = pipe.test_batches()
    for images in (tested, epoch(pipe)[0][1]):
        row = images[0, 0, size // 2]
        dark = (row < (row.min() + row.max()) / 2).tolist()
        assert dark == [True] * border + [False] * (size - 2 * border) + [True] * border


def test_large_images_are_tested_in_smaller_batches():
    def sizes(size):
        images = in_memory(1, size, 8, 600)
        return [len(labels) for _, labels in pipeline(images, channels=1).test_batches()]

    assert sizes(64) == [512, 88]
    assert sizes(65) == [256, 256, 88]


@every_way
def test_memory_is_channels_last_if_asked(way):
    for mixed in (False, True):
        pipe = made(way, mixed, channels_last=True)
        ((tested, _),) = pipe.test_batches()
        for images in (epoch(pipe)[0][1], tested):
            assert images.is_contiguous(memory_format=torch.channels_last)
        same(epoch(pipe), epoch(made(way, mixed)))


def test_what_is_erased_becomes_the_mean_colour():
    images = in_memory()
    erased = by_number(pipeline(images, replace(NONE, erasing=1.0)))
    plain = by_number(pipeline(images))
    for index, image in erased.items():
        changed = (image != plain[index]).any(0)
        assert changed.any()
        assert image[:, changed].abs().max() < 0.5 / 255 / 0.1 + 1e-4  # a byte's rounding
        assert not changed.all()


@dataclass
class Held(Files):
    """Images in memory, but read one by one."""

    def read(self, index):
        return in_memory().train.pixels[index]


def augmented(by_image, **one):
    """All images with one augmentation, and without any."""
    images = in_memory()
    plain = by_number(pipeline(images))
    if by_image:
        images.train = Held(images.train.labels)
    changed = by_number(pipeline(images, replace(NONE, **one)))
    return [(changed[index], plain[index]) for index in plain]


@pytest.mark.parametrize("by_image", [False, True])
def test_about_half_of_the_images_are_mirrored(by_image):
    pairs = augmented(by_image, flip=True)
    kept = [torch.equal(image, plain) for image, plain in pairs]
    mirrored = [torch.equal(image, plain.flip(2)) for image, plain in pairs]
    assert [a != b for a, b in zip(kept, mirrored, strict=True)] == [True] * COUNT
    assert 4 < sum(mirrored) < 20


@pytest.mark.parametrize("by_image", [False, True])
def test_padded_crops_are_shifted_images(by_image):
    black = normalized(torch.zeros(3, 1, 1))
    shifts = []
    for image, plain in augmented(by_image, crop="pad"):
        padded = functional.pad(plain - black, (2,) * 4) + black
        shifts += [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.allclose(image, padded[:, down : down + SIZE, right : right + SIZE])
        ]
    assert len(shifts) == COUNT
    assert len(set(shifts)) > 8


@pytest.mark.parametrize("by_image", [False, True])
def test_rotated_images_have_black_corners(by_image):
    black = normalized(torch.zeros(3, 1, 1)).flatten()
    corners = sum(
        int(torch.allclose(image[:, y, x], black, atol=1e-4))
        for image, _ in augmented(by_image, rotate=45.0)
        for y in (0, -1)
        for x in (0, -1)
    )
    assert corners > 0.6 * 4 * COUNT


# ---- mixup and cutmix ----------------------------------------------------------------------------


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_targets_are_the_mixed_shares_of_the_classes(alphas):
    images = in_memory()
    pipe = pipeline(images, replace(NONE, **alphas))
    shares = set()
    for chosen, batch, targets in epoch(pipe):
        assert targets.dtype == torch.float32
        own = functional.one_hot(images.train.labels[chosen], 3).float()
        pixels = normalized(images.train.pixels[chosen])
        # Each image gets a share of the one before it in the batch.
        added, most = batch - pixels, pixels.roll(1, 0) - pixels
        if "cutmix" in alphas:
            share = ((added - most).abs() < 1e-6)[most != 0].float().mean()
        else:
            share = (added * most).sum() / (most * most).sum()
            torch.testing.assert_close(added, share * most, atol=1e-4, rtol=0)
        shares.add(round(share.item(), 3))
        expected = own + share * (own.roll(1, 0) - own)
        torch.testing.assert_close(targets, expected, atol=0.01, rtol=0)
    assert len(shares) > 1


def test_either_is_taken_where_both_are_given():
    images = in_memory()
    cuts = 0
    for number in range(5):
        for chosen, batch, _ in epoch(pipeline(images, replace(NONE, **MIXED)), number):
            pixels = normalized(images.train.pixels[chosen])
            old, new = ((batch - other).abs() < 1e-5 for other in (pixels, pixels.roll(1, 0)))
            cuts += bool((old | new).all())
    assert 5 < cuts < 25


# ---- the loader ----------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("workers", [0, 2])
def test_the_batch_size_can_be_scaled_for_an_epoch(way, workers):
    pipe = made(way, workers=workers)
    assert type(pipe.loader.batch_sampler) is BatchSampler
    scaler = BatchScaler(pipe.loader, 2)
    assert len(scaler) == 3
    for number in range(2):
        scaler.apply()
        same(epoch(pipe, number), epoch(made(way, batch_size=8), number))
        scaler.restore()
        same(epoch(pipe, number), epoch(made(way), number))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_one_line(workers):
    broken = pipeline(from_files(train=(5,)), PAD, workers=workers)
    with pytest.raises(UsageError) as caught:
        epoch(broken)
    assert str(caught.value) == MESSAGE
    assert len(list(broken.test_batches())) == 1
    broken.close()
    broken = pipeline(from_files(test=(20,)), PAD, workers=workers)
    with pytest.raises(UsageError) as caught:
        list(broken.test_batches())
    assert str(caught.value) == MESSAGE
    assert len(epoch(broken)) == 6
    broken.close()


def test_closing_ends_the_workers_and_a_new_pass_has_new_ones():
    pipe = made("files", workers=2)
    first = epoch(pipe)
    list(pipe.test_batches())
    workers = multiprocessing.active_children()
    assert len(workers) >= 4
    pipe.close()
    assert len(multiprocessing.active_children()) <= len(workers) - 4
    same(epoch(pipe), first)
    pipe.close()
    pipe.close()


def test_workers_leave_signals_to_the_main_process(tmp_path, monkeypatch):
    monkeypatch.setattr("layerdropback.training.images.pipeline._GRACE", 2.0)

    def handler(number, frame):
        (tmp_path / str(os.getpid())).touch()

    before = {kind: signal.signal(kind, handler) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        pipe = made("files", workers=2)
        epoch(pipe)
        workers = pipe.loader._iterator._workers
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
        same(epoch(pipe, 1), epoch(made("files"), 1))
        time.sleep(0.5)  # idle workers take it at once, others after 5 seconds
        # From another process: torch looks away where the worker's own parent has sent it.
        subprocess.run(["kill", "-TERM", *(str(worker.pid) for worker in workers)], check=True)
        same(epoch(pipe, 1), epoch(made("files"), 1))
        for worker in workers:
            worker.join(10)
            assert worker.exitcode == 0
        assert list(tmp_path.iterdir()) == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert [file.name for file in tmp_path.iterdir()] == [str(os.getpid())]
    finally:
        for kind, previous in before.items():
            signal.signal(kind, previous)
