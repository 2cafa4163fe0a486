import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from layerdropback.strategies.random import Stream
from layerdropback.training.images.augment import (
    Augmentation,
    Augments,
    EpochOrder,
    _turn,
    cpu_generator,
)

CPU = torch.device("cpu")


def images(count=6, size=5):
    return torch.arange(1, count * 2 * size * size + 1).view(count, 2, size, size)


def test_every_image_is_a_crop_of_its_padded_self():
    batch = images()
    augmentation = Augmentation(6, pad=2, flips=True, seed=3, device=CPU)
    result = augmentation(batch, torch.arange(6))
    padded = functional.pad(batch, (2, 2, 2, 2))
    for index in range(6):
        crops = [
            crop
            for down in range(5)
            for right in range(5)
            for window in [padded[index, :, down : down + 5, right : right + 5]]
            for crop in (window, window.flip(2))
        ]
        assert any(torch.equal(result[index], crop) for crop in crops)


def test_an_images_augmentation_does_not_depend_on_its_batch():
    batch = images()
    augmentation = Augmentation(6, pad=2, flips=True, seed=3, device=CPU)
    whole = augmentation(batch, torch.arange(6))
    chosen = torch.tensor([4, 1])
    assert torch.equal(augmentation(batch[chosen], chosen), whole[chosen])


def test_epochs_and_seeds_differ_and_repeat():
    def result(seed, epoch):
        augmentation = Augmentation(40, pad=2, flips=True, seed=seed, device=CPU)
        augmentation.set_epoch(epoch)
        return augmentation(images(40), torch.arange(40))

    assert torch.equal(result(1, 2), result(1, 2))
    assert not torch.equal(result(1, 2), result(1, 3))
    assert not torch.equal(result(1, 2), result(2, 2))


def test_all_shifts_come_up_and_half_is_mirrored():
    augmentation = Augmentation(4000, pad=1, flips=True, seed=0, device=CPU)
    assert sorted(set(augmentation._shifts[0].tolist())) == [0, 1, 2]
    assert abs(augmentation._mirrored.float().mean() - 0.5) < 0.05


def test_without_it_images_stay_as_they_are():
    augmentation = Augmentation(6, pad=0, flips=False, seed=0, device=CPU)
    assert torch.equal(augmentation(images(), torch.arange(6)), images())


def photos(count=6, size=8):
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, size, size)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


def test_a_turn_by_nothing_changes_nothing():
    turned = _turn(photos(), torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(turned, photos().float(), atol=1e-3, rtol=0)


def test_a_right_angle_is_a_right_angle():
    turned = _turn(photos(), torch.full((6,), math.pi / 2, dtype=torch.float64))
    torch.testing.assert_close(turned, photos().rot90(1, (2, 3)).float(), atol=1e-3, rtol=0)


@given(st.floats(0.1, 180), st.integers(0, 2**64 - 1))
def test_rotated_images_stay_in_range_and_depend_on_no_batch(degrees, seed):
    augmentation = Augmentation(6, 1, True, seed, CPU, rotate=degrees)
    assert augmentation._angles.abs().max() <= math.radians(degrees)
    whole = augmentation(photos(), torch.arange(6))
    assert whole.min() >= 0
    assert whole.max() <= 255 + 1e-3
    chosen = torch.tensor([4, 1])
    assert torch.equal(augmentation(photos()[chosen], chosen), whole[chosen])


def test_rotation_leaves_crops_and_flips_as_they_are():
    plain, turning = (Augmentation(40, 2, True, 3, CPU, rotate=angle) for angle in (0.0, 30.0))
    assert torch.equal(plain._shifts, turning._shifts)
    assert torch.equal(plain._mirrored, turning._mirrored)
    assert turning._angles.min() < -0.3 < 0.3 < turning._angles.max()


def test_a_borrowed_generator_comes_back():
    def drawn(*key):
        with cpu_generator(*key):
            return torch.rand(2).tolist()

    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    streams, places = (Stream.DATA_IMAGE, Stream.DATA_MIX), ((0, 0), (0, 1), (1, 0))
    keys = [(*key, *place) for key in product((0, 2**64 - 1), streams) for place in places]
    first = [drawn(*key) for key in keys]
    assert first == [drawn(*key) for key in keys]
    assert len({tuple(numbers) for numbers in first}) == len(keys)
    with pytest.raises(KeyError), cpu_generator(0, Stream.DATA_IMAGE, 0, 0):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


@given(st.integers(0, 50), st.integers(0, 50))
def test_an_order_without_its_beginning_is_its_end(samples, skip):
    order = EpochOrder(samples, seed=1)
    order.set_epoch(3)
    whole = list(order)
    skip = min(skip, samples)
    order.set_epoch(3, skip)
    assert list(order) == whole[skip:]
    assert len(order) == samples


def test_only_some_augmentations_need_single_images():
    assert not Augments.none().by_image
    assert not Augments(rotate=5, mixup=0.2, cutmix=1.0).by_image
    for changed in ({"crop": "resized"}, {"randaugment": True}, {"erasing": 0.1}):
        assert Augments(**changed).by_image
