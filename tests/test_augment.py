import torch
from torch.nn import functional

from layerdropback.training.augment import Augmentation

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
