"""What a pipeline makes of images: normalised, resized, augmented and mixed."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional

from layerdropback.training.images.data import Split
from layerdropback.training.images.pipeline import Pipeline
from pipelines import (
    BY_IMAGE,
    COUNT,
    CPU,
    MIXED,
    NONE,
    PAD,
    SIZE,
    Files,
    by_number,
    data,
    epoch,
    every_way,
    from_files,
    in_memory,
    made,
    normalized,
    pipeline,
    same,
)

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
