import pytest
import timm
import torch
from safetensors.torch import load_file

from layerdropback import UsageError
from layerdropback.training.export import export_weights, load_exported, read_metadata
from layerdropback.training.models import ModelSpec, build_model, choose_stem

SMALL = {  # a model of each family in the table, with its line for 32 pixels
    "resnet10t": "conv1.0 3x3 stride 1 (was 3x3 stride 2), no maxpool",
    "resnet18": "conv1 3x3 stride 1 (was 7x7 stride 2), no maxpool",
    "legacy_seresnet18": "layer0.conv1 3x3 stride 1 (was 7x7 stride 2), no pool0",
    "densenet121": "features.conv0 3x3 stride 1 (was 7x7 stride 2), no features.pool0",
    "efficientnet_b0": "conv_stem 3x3 stride 1 (was 3x3 stride 2)",
    "mobilenetv3_small_050": "conv_stem 3x3 stride 1 (was 3x3 stride 2)",
    "regnetx_002": "stem.conv 3x3 stride 1 (was 3x3 stride 2)",
    "dla34": "level1.0 3x3 stride 1 (was 3x3 stride 2)",
    "convnext_atto": "patch_size=1",
    "vit_tiny_patch16_224": "img_size=32, patch_size=4",
    "deit_tiny_patch16_224": "img_size=32, patch_size=4",
    "beit_base_patch16_224": "img_size=32, patch_size=4",
    "swin_tiny_patch4_window7_224": "img_size=32, patch_size=2, window_size=4",
}


@pytest.mark.parametrize("name", SMALL)
def test_small_images_get_a_small_stem_and_the_export_rebuilds_it(name, tmp_path):
    assert choose_stem(name, 32, "auto")
    spec = ModelSpec(name, classes=7, channels=3, image_size=32, small_stem=True)
    torch.manual_seed(0)
    model, line = build_model(spec)
    assert line == f"stem: {SMALL[name]} (images have 32x32 pixels)"
    assert model.training
    plain = timm.create_model(name, num_classes=7)
    grown = sum(p.numel() for p in model.parameters()) / sum(p.numel() for p in plain.parameters())
    assert 0.6 < grown <= 1.01, "only the stem changed"

    path = tmp_path / "weights.safetensors"
    export_weights(model, path, spec, {"classes": list("abcdefg")})
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    before = torch.get_rng_state()
    again = load_exported(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(again) is type(plain)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images), model.eval()(images), rtol=0, atol=0)
    assert read_metadata(path)["classes"] == list("abcdefg")


def test_an_unmodified_model_loads_with_timm_alone(tmp_path):
    spec = ModelSpec("vgg11_bn", 5, 3, 32, small_stem=choose_stem("vgg11_bn", 32, "auto"))
    assert not spec.small_stem
    model, line = build_model(spec)
    assert line == "stem: as in timm (images have 32x32 pixels)"
    path = tmp_path / "weights.safetensors"
    export_weights(model, path, spec, {})
    plain = timm.create_model("vgg11_bn", num_classes=5)
    plain.load_state_dict(load_file(path))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(images), model.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["convnext_atto_ols", "regnetv_040"])
def test_a_model_whose_stem_is_not_its_familys_runs_unmodified(name):
    assert not choose_stem(name, 32, "auto")


@pytest.mark.parametrize(("size", "patch"), [(8, 1), (28, 2), (30, 3), (32, 4), (37, 1), (64, 8)])
def test_patches_leave_no_pixel_over(size, patch):
    _, line = build_model(ModelSpec("vit_tiny_patch16_224", 3, 1, size, small_stem=True))
    assert f"img_size={size}, patch_size={patch}" in line


def test_which_stem():
    assert not choose_stem("resnet18", 224, "auto")
    assert not choose_stem("resnet18", 32, "original")
    assert choose_stem("resnet18", 224, "small")
    with pytest.raises(UsageError, match="no small stem is known for vgg11"):
        choose_stem("vgg11", 32, "small")


def test_models_that_cannot_be_had():
    with pytest.raises(UsageError, match="--model resnet19 is unknown.*did you mean.*resnet18"):
        choose_stem("resnet19", 32, "auto")
    spec = ModelSpec("tnt_s_patch16_224", 5, 3, 32, small_stem=False)
    with pytest.raises(
        UsageError, match="cannot build tnt_s_patch16_224 for 32x32 images"
    ) as error:
        build_model(spec)
    assert "\n" not in str(error.value)


def test_building_is_decided_by_the_seed():
    spec = ModelSpec("resnet10t", 5, 3, 32, small_stem=True)
    weights = []
    for _ in range(2):
        torch.manual_seed(4)
        weights.append(build_model(spec)[0].state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_files_that_are_no_weights_of_ours(tmp_path):
    with pytest.raises(UsageError, match="cannot read .*missing"):
        read_metadata(tmp_path / "missing")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x00" * 20)
    with pytest.raises(UsageError, match="cannot read .*broken"):
        load_exported(broken)
    from safetensors.torch import save_file

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(2)}, foreign)
    with pytest.raises(UsageError, match="was not written by ldb"):
        load_exported(foreign)
    for entry in ("no json", "{}", '{"spec": {"name": "resnet18"}}', "[]"):
        save_file({"weight": torch.ones(2)}, foreign, metadata={"layerdropback": entry})
        with pytest.raises(UsageError, match="was not written by ldb"):
            load_exported(foreign)
