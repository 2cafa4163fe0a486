"""A model's parameters, grouped into layers."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from layerdropback import AttachError, find_layers
from layerdropback.lab.memory.fakes import on_meta
from zoo import ZOO, Attention, TiedGPT, mlp

UNITS = ("layer", "block", "tensor")


def names(model, unit="layer"):
    return [layer.name for layer in find_layers(model, unit)]


def without_data(model):
    """One of timm's models by its name, or what makes one."""
    return on_meta(partial(timm.create_model, model) if isinstance(model, str) else model)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_every_parameter_is_in_exactly_one_layer(name, unit):
    model = ZOO[name].model()
    layers = find_layers(model, unit)
    found = [id(parameter) for layer in layers for parameter in layer.parameters]
    assert sorted(found) == sorted(map(id, model.parameters()))
    assert len({layer.name for layer in layers}) == len(layers)
    by_name = dict(model.named_parameters(remove_duplicate=False))
    for layer in layers:
        for parameter_name, parameter in zip(layer.parameter_names, layer.parameters, strict=True):
            assert by_name[parameter_name] is parameter
        assert layer.numel == sum(parameter.numel() for parameter in layer.parameters)


def test_a_modules_own_parameters_are_a_layer():
    assert names(Attention()) == [
        "(root)",
        "embed",
        "attention",
        "attention.out_proj",
        "norm",
        "classifier",
    ]


def test_tied_parameters_are_one_layer():
    layers = {layer.name: layer for layer in find_layers(TiedGPT())}
    assert layers["head+tokens"].parameter_names == ("head.weight",)
    assert "head.weight" in names(TiedGPT(), "tensor")
    assert "tokens.weight" not in names(TiedGPT(), "tensor")


def test_modules_that_share_a_tensor_and_own_another_are_one_layer():
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "c": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    (first, second) = find_layers(model)
    assert first.name == "a+b"
    assert first.parameter_names == ("a.weight", "a.bias", "b.bias")
    assert second.name == "c"


@pytest.mark.parametrize("unit", UNITS)
def test_parameters_that_share_memory_are_tied_too(unit):
    """As ``head.weight.data = tokens.weight.data`` makes them."""
    model = TiedGPT()
    model.head.weight = nn.Parameter(model.tokens.weight.data)
    layers = find_layers(model, unit)
    (tied,) = [layer for layer in layers if "head.weight" in layer.parameter_names]
    assert tied.parameter_names == ("head.weight", "tokens.weight")
    assert len(layers) == len(find_layers(TiedGPT(), unit))


def test_tensors_in_one_buffer_are_not_tied():
    """As flattened parameters are: one memory, but different parts of it."""
    buffer = torch.randn(2, 3, 3)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    for part, layer in zip(buffer, model, strict=True):
        layer.weight = nn.Parameter(part)
    assert names(model) == ["0", "1"]


def test_models_without_data_have_layers():
    with torch.device("meta"):
        assert names(mlp()) == ["0", "2", "4"]
    assert names(nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 2))) == ["0", "1"]


BLOCKS = {
    "resnet18": (["conv1", "bn1", "layer1.0", "layer1.1"], ["layer4.1", "fc"], 11),
    "densenet121": (["features.conv0", "features.norm0"], ["features.norm5", "classifier"], 62),
    "vit_tiny_patch16_224": (["(root)", "patch_embed.proj"], ["blocks.11", "norm", "head"], 16),
    "swin_tiny_patch4_window7_224": (["patch_embed.proj"], ["layers.3.blocks.1", "norm"], 16),
    "efficientnet_b0": (["conv_stem", "bn1"], ["blocks.6", "conv_head", "bn2", "classifier"], 21),
    "dla34": (["base_layer.0"], ["level5.tree2+level5.root", "fc"], 13),
    "convnext_tiny": (["stem.0"], ["stages.3.blocks.2", "head.norm", "head.fc"], 22),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_timm_models_are_those_of_their_group_matcher(name):
    first, last, count = BLOCKS[name]
    found = names(without_data(name), "block")
    assert found[: len(first)] == first
    assert set(last) <= set(found)
    assert len(found) == count


def test_blocks_inside_a_wrapping_module():
    model = nn.ModuleDict({"net": without_data("resnet18"), "extra": nn.Linear(2, 2)})
    found = names(model, "block")
    assert "net.layer1.0" in found
    assert "net.fc" in found
    assert "extra" in found


def test_blocks_without_timm():
    assert names(without_data(torchvision.models.resnet18), "block") == [
        "conv1",
        "bn1",
        *(f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)),
        "fc",
    ]
    dense = names(without_data(torchvision.models.densenet121), "block")
    assert "features.denseblock1.denselayer1" in dense
    assert "features.transition1" in dense
    assert len(dense) == 65
    assert names(TiedGPT(), "block") == [
        "(root)",
        "head+tokens",
        "blocks.0",
        "blocks.1",
        "blocks.2",
        "norm",
    ]


def test_blocks_of_nested_sequentials_and_of_plain_layers():
    def stage():
        return nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    assert names(nn.Sequential(stage(), stage(), nn.Linear(2, 2)), "block") == ["0", "1", "2"]
    assert names(mlp(), "block") == names(mlp(), "layer") == ["0", "2", "4"]


def test_wrappers_do_not_change_names():
    model = TiedGPT()
    for block in model.blocks:
        block.compile()
    assert names(torch.compile(model), "block") == names(TiedGPT(), "block")
    model.blocks[0] = torch.compile(model.blocks[0])
    for unit in UNITS:
        assert names(model, unit) == names(TiedGPT(), unit)


def test_an_unknown_unit():
    with pytest.raises(AttachError, match="unit='stage' is unknown.*layer, block, tensor"):
        find_layers(mlp(), "stage")


def test_patterns():
    layers = find_layers(without_data("vit_tiny_patch16_224"), "block")
    by_name = {layer.name: layer for layer in layers}
    assert by_name["norm"].matches("norm")
    merged = find_layers(without_data("convnext_tiny"), "block")[5]
    assert merged.name == "stages.1.downsample+stages.1.blocks.0"
    assert merged.matches("stages.1.downsample")
    assert by_name["blocks.1"].matches("blocks.*")
    assert by_name["blocks.1"].matches("*.qkv.weight")
    assert not by_name["blocks.11"].matches("blocks.1")
    assert by_name["(root)"].matches("pos_embed")
