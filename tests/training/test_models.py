import dataclasses
import re
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from layerdropback import UsageError
from layerdropback.training.export import export_weights, load_exported, read_metadata
from layerdropback.training.inputs import Inputs
from layerdropback.training.models import ModelSpec, build_model, choose_stem, inputs_of

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
@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize(("size", "patch"), [(8, 1), (28, 2), (30, 3), (32, 4), (17, 1), (64, 8)])
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
    spec = ModelSpec("tnt_s_patch16_224", 5, 3, 8, small_stem=False)
    with pytest.raises(UsageError, match="cannot build tnt_s_patch16_224 for 8x8 images") as error:
        build_model(spec)
    assert "\n" not in str(error.value)
    spec = ModelSpec("resnet18.no_such_weights", 5, 3, 32, small_stem=False)
    with pytest.raises(UsageError, match="cannot build resnet18.no_such_weights .*no_such_weights"):
        build_model(spec)


def test_a_model_for_one_size_is_built_for_the_images_size(tmp_path):
    spec = ModelSpec("test_vit", 5, 3, 64, small_stem=False)
    model, line = build_model(spec)
    assert line == "stem: img_size=64 (images have 64x64 pixels)"
    path = tmp_path / "weights.safetensors"
    export_weights(model, path, spec, {})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            load_exported(path)(images), model.eval()(images), rtol=0, atol=0
        )
    _, line = build_model(ModelSpec("test_vit", 5, 3, 160, small_stem=False))
    assert line == "stem: as in timm (images have 160x160 pixels)"


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
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.ones(2)}, foreign)
    with pytest.raises(UsageError, match="was not written by ldb"):
        load_exported(foreign)
    for entry in ("no json", "{}", '{"spec": {"name": "resnet18"}}', "[]"):
        save_file({"weight": torch.ones(2)}, foreign, metadata={"layerdropback": entry})
        with pytest.raises(UsageError, match="was not written by ldb"):
            load_exported(foreign)


def test_weights_of_another_model_than_the_file_names(tmp_path):
    spec = ModelSpec("test_resnet", 5, 3, 32, small_stem=False)
    path = tmp_path / "weights.safetensors"
    export_weights(timm.create_model("test_vit"), path, spec, {})
    with pytest.raises(UsageError, match="weights.safetensors are not those of the model") as error:
        load_exported(path)
    assert "\n" not in str(error.value)


def test_an_export_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    spec = ModelSpec("test_resnet", 5, 3, 32, small_stem=False)
    path = tmp_path / "weights.safetensors"
    model, _ = build_model(spec)
    export_weights(model, path, spec, {"round": 1})

    def half(model, file, metadata):
        Path(file).write_bytes(b"half of it")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("layerdropback.training.export.save_model", half)
    with pytest.raises(UsageError, match="cannot write .*No space left on device"):
        export_weights(model, path, spec, {"round": 2})
    assert read_metadata(path)["round"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_pretrained_weights_are_loaded(hub):
    weights = hub(timm.create_model("test_resnet"))
    spec = ModelSpec("test_resnet", 10, 3, 64, choose_stem("test_resnet", 64, "auto", True))
    assert not spec.small_stem, "their own stem, small as the images are"
    model, line = build_model(spec, pretrained=True)
    assert line.endswith("64x64 pixels); weights: test_resnet.r160_in1k, with a new classifier")
    assert model.training
    loaded = model.state_dict()
    for name, value in weights.items():
        if name not in ("fc.weight", "fc.bias"):
            torch.testing.assert_close(loaded[name], value, rtol=0, atol=0, msg=name)
    assert loaded["fc.weight"].shape == (10, weights["fc.weight"].shape[1])
    assert inputs_of(model) == Inputs([0.5] * 3, [0.5] * 3, "bilinear", 0.95)

    model, line = build_model(dataclasses.replace(spec, classes=1000), pretrained=True)
    assert line.endswith("weights: test_resnet.r160_in1k")
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)

    grey, _ = build_model(dataclasses.replace(spec, channels=1), pretrained=True)
    assert next(grey.parameters()).shape[1] == 1


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("test_resnet", ()),  # its first convolution has 3x3 pixels already
        ("test_convnext", ("stem.0.weight",)),
        ("test_vit", ("patch_embed.proj.weight", "pos_embed")),
    ],
)
def test_pretrained_weights_under_a_small_stem(hub, name, new):
    weights = hub(timm.create_model(name))
    assert choose_stem(name, 32, "small", True)
    spec = ModelSpec(name, 10, 3, 32, small_stem=True)
    model, line = build_model(spec, pretrained=True)
    assert line.endswith(", with a new stem and classifier")
    loaded = model.state_dict()
    head = {key for key in loaded if loaded[key].shape[:1] == (10,)}
    for key in loaded.keys() - head - set(new):
        torch.testing.assert_close(loaded[key], weights[key], rtol=0, atol=0, msg=key)
    assert all(loaded[key].shape != weights[key].shape for key in new)


def test_pretrained_weights_for_another_image_size(hub, capfd):
    weights = hub(timm.create_model("test_vit"))
    model, line = build_model(ModelSpec("test_vit", 10, 3, 64, small_stem=False), pretrained=True)
    assert line.startswith("stem: img_size=64 (images have 64x64 pixels); weights: test_vit.")
    loaded = model.state_dict()
    assert loaded["pos_embed"].shape != weights["pos_embed"].shape
    name = "patch_embed.proj.weight"
    torch.testing.assert_close(loaded[name], weights[name], rtol=0, atol=0)
    assert capfd.readouterr() == ("", "")


def test_pretrained_weights_that_cannot_be_had(hub, tmp_path, monkeypatch, caplog):
    spec = ModelSpec("test_resnet", 10, 3, 64, small_stem=False)
    where = re.escape(f"{tmp_path / 'hub'} (HF_HOME moves it)")
    with pytest.raises(
        UsageError,
        match=f"^--pretrained: cannot load the weights test_resnet.r160_in1k. Cause: they are not "
        rf"in {where}, and http.* did not give them: no network. Cure: run once with a network, or "
        r"give --init FILE.$",
    ):
        build_model(spec, pretrained=True)

    # No hub: it is asked once, and not for a minute.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    with pytest.raises(UsageError, match="http://127.0.0.1:9 did not give them: no network"):
        build_model(spec, pretrained=True)
    assert time.perf_counter() - started < 5
    assert constants.HF_HUB_OFFLINE is False
    assert not caplog.records
    hub(timm.create_model("test_resnet"))
    build_model(spec, pretrained=True)

    spec = dataclasses.replace(spec, name="test_resnet.other")
    with pytest.raises(UsageError, match="no weights test_resnet.other.*'test_resnet.r160_in1k'"):
        build_model(spec, pretrained=True)
    spec = dataclasses.replace(spec, name="coatnet_0_224")
    with pytest.raises(UsageError, match="no weights for coatnet_0_224.*timm has none for this"):
        build_model(spec, pretrained=True)


def test_pretrained_weights_that_are_unusable(hub, tmp_path):
    odd = timm.create_model("test_resnet", block_args={}, stem_width=8)
    hub(odd)
    spec = ModelSpec("test_resnet", 10, 3, 64, small_stem=False)
    with pytest.raises(UsageError, match="size mismatch for conv1.*use --stem original") as error:
        build_model(spec, pretrained=True)
    assert "\n" not in str(error.value)
    file = next((tmp_path / "hub").glob("*/snapshots/*/model.safetensors"))
    file.write_bytes(b"\0" * 20)
    with pytest.raises(UsageError, match="damaged: .*remove them there, or give --init FILE"):
        build_model(spec, pretrained=True)
    too_small = ModelSpec("test_vit", 10, 3, 8, small_stem=False)
    with pytest.raises(UsageError, match="cannot build test_vit for 8x8 images"):
        build_model(too_small, pretrained=True)
