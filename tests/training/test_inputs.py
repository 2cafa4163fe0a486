"""What a network wants of its images: as its first weights were trained, and told with its last."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data import create_transform

from command import metrics_of
from folders import make_folder
from layerdropback.training.config import TrainConfig
from layerdropback.training.export import read_metadata
from layerdropback.training.images.augment import Augments
from layerdropback.training.images.data import load_data, load_for
from layerdropback.training.images.transforms import plain_transform, train_transform
from layerdropback.training.inputs import Inputs
from layerdropback.training.loop import Trainer

HALF = [0.5] * 3


def trainer(images, **changes):
    settings = {"model": "test_resnet", "data": f"folder:{images}", "image_size": 32}
    settings |= {"batch_size": 4, "in_memory": "no", "workers": 0, **changes}
    config = TrainConfig.from_dict(settings)
    return Trainer(config, load_for(config))


def inputs(*arguments, **changes):
    return trainer(*arguments, **changes).network.inputs


def foreign(tmp_path):
    """Weights that nothing is told of."""
    path = tmp_path / "foreign.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_pretrained_weights_get_their_own_and_new_ones_the_datas(hub, tmp_path):
    images = make_folder(tmp_path / "images", size=(40, 50))
    hub(timm.create_model("test_resnet"))
    own = Inputs(HALF, HALF, "bilinear", 0.9411)  # 34 pixels, which timm makes of 0.95
    assert inputs(images, pretrained=True) == own
    assert inputs(images, init=foreign(tmp_path)) == own
    new = inputs(images)
    assert new.mean != HALF
    assert (new.interpolation, new.crop_pct) == ("bilinear", 0.8648)  # 37 pixels, as before
    assert inputs(images, pretrained=True, crop_pct=0.8) == Inputs(HALF, HALF, "bilinear", 0.8)
    assert inputs(images, model="test_vit").interpolation == "bilinear", "new weights want nothing"


def test_a_file_of_ours_says_its_own(hub, tmp_path):
    images = make_folder(tmp_path / "images", size=(40, 50))
    tuned, path = trainer(images, init=foreign(tmp_path)), tmp_path / "own.safetensors"
    notes = '{"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "interpolation": "bicubic"}'
    save_file(tuned.model.state_dict(), path, metadata={"layerdropback": notes})
    found = inputs(images, init=path)
    assert found == Inputs([0.1, 0.2, 0.3], [1.0] * 3, "bicubic", 0.8648)


def test_grey_images_have_their_own_mean(tmp_path):
    config = TrainConfig.from_dict({"model": "test_resnet", "init": foreign(tmp_path)})
    data = load_data("digits", limit_train=64, limit_test=8)
    weights = load_file(config.init)
    weights["conv1.0.weight"] = weights["conv1.0.weight"][:, :1].contiguous()
    save_file(weights, config.init)
    found = Trainer(config, data).network.inputs
    assert (found.mean, found.std) == data.statistics()
    assert found.crop_pct == 1.0, "in memory there is nothing to cut off"


def test_images_are_normalised_by_them(tmp_path):
    images = make_folder(tmp_path / "images", size=(40, 50))
    pipeline = trainer(images, init=foreign(tmp_path), augment=False).pipeline
    (tested, _), *_ = pipeline.test_batches()
    trained, _ = pipeline(next(iter(pipeline.loader)))
    for batch in (tested, trained):
        assert -1 <= batch.min() < -0.8
        assert 1 >= batch.max() > 0.8


def test_they_are_kept_in_checkpoints_and_told_with_the_weights(run, tmp_path):
    """With them timm alone makes the same of a picture, up to the rounding of bytes."""
    images = make_folder(tmp_path / "images", size=(60, 50), train=8, test=8)
    flags = ["--model", "test_resnet", "--data", f"folder:{images}", "--image-size", 32]
    flags += ["--in-memory", "no", "--workers", 0, "--batch-size", 8, "--epochs", 1]
    assert run("train", *flags, "--init", foreign(tmp_path), "--out", "run")[0] == 0
    notes = read_metadata(tmp_path / "run" / "weights.safetensors")
    wanted = {name: notes[name] for name in ("mean", "std", "interpolation", "crop_pct")}
    assert wanted == {"mean": HALF, "std": HALF, "interpolation": "bilinear", "crop_pct": 0.9411}
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    state = torch.load(saved)["trainer"]
    assert {name: state[name] for name in wanted} == wanted
    code, output, _ = run("evaluate", tmp_path / "run")
    assert code == 0
    accuracy = metrics_of(tmp_path / "run")[-1]["test_accuracy"]
    assert f"accuracy {accuracy:.2f} %" in output

    transform = create_transform(notes["spec"]["image_size"], **wanted)
    split = load_data(f"folder:{images}", 32, in_memory="no").test
    ours = trainer(images, init=foreign(tmp_path)).pipeline.test_batches()
    theirs = torch.stack([transform(split.picture(i)) for i in range(len(split))])
    torch.testing.assert_close(torch.cat([batch for batch, _ in ours]), theirs, atol=0.02, rtol=0)


def test_what_nobody_asked_for_is_as_torchvision_has_it():
    """The defaults are those of the first release's transforms, bit for bit."""
    from torchvision.transforms import v2

    image = torch.randint(256, (3, 130, 110), dtype=torch.uint8)
    for size in (96, 64):
        crop = [v2.Resize(round(size * 256 / 224), antialias=True), v2.CenterCrop(size)]
        assert torch.equal(plain_transform(size, False)(image), v2.Compose(crop)(image))
        ways = [train_transform(Augments("resized", False), size, [0.5], False)]
        ways += [v2.RandomResizedCrop(size, antialias=True)]
        found = []
        for way in ways:
            torch.manual_seed(3)
            found.append(way(image))
        assert torch.equal(*found)


def test_crops_take_at_least_their_share():
    image = torch.arange(100).repeat(3, 100, 1).to(torch.uint8)  # each column has its number
    for least in (0.08, 0.9):
        transform = train_transform(Augments("resized", False, scale=least), 50, [0.5], False)
        spans = [
            int(cut[0, 0, -1]) - int(cut[0, 0, 0]) for cut in (transform(image) for _ in range(30))
        ]
        assert (min(spans) > 75) == (least > 0.5)


@pytest.mark.parametrize(
    "odd", [{"mean": [10**400]}, {"std": [10**400]}, {"crop_pct": 10**400}, {"std": [float("inf")]}]
)
def test_numbers_that_are_none_are_values_of_the_wrong_kind(odd):
    with pytest.raises(ValueError, match="too large|finite"):
        Inputs.read({"mean": [0.5], "std": [0.5]} | odd)
