"""What PEFT adds to a module is one layer, and what the module had before is another."""

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from torch import nn

from layerdropback import LayerDropBack, Schedule, Uniform, find_layers
from layerdropback.interop.wrappers import is_adapted

ALWAYS = Schedule(every=1, start=0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(self.words(x)).mean(1))


def adapted(**changes):
    targets = ["words", "body.0", "body.2"]
    config = LoraConfig(r=2, target_modules=targets, modules_to_save=["head"], **changes)
    return get_peft_model(Net(), config)


def trained(model):
    return {
        layer.name.removeprefix("base_model.model."): [
            name.removeprefix(layer.name + ".") for name in layer.parameter_names
        ]
        for layer in find_layers(model)
        if layer.trainable
    }


@pytest.mark.parametrize("dora", [False, True])
def test_a_pair_is_one_layer_with_its_magnitude(dora):
    found = trained(adapted(use_dora=dora))
    assert list(found) == ["words", "body.0", "body.2", "head.modules_to_save.default"]
    pair = ["lora_A.default.weight", "lora_B.default.weight"]
    magnitude = ["lora_magnitude_vector.default.weight"] * dora
    assert found["body.0"] == found["body.2"] == pair + magnitude
    embedded = ["lora_embedding_A.default", "lora_embedding_B.default"]
    assert found["words"] == [*embedded, *magnitude]


def test_what_was_there_before_is_a_layer_of_its_own():
    layers = {layer.name: layer for layer in find_layers(adapted())}
    base = layers["base_model.model.body.0.base_layer"]
    assert base.parameter_names == (f"{base.name}.weight", f"{base.name}.bias")
    assert not base.trainable


def test_each_tensor_by_itself_where_that_is_asked_for():
    names = [layer.name for layer in find_layers(adapted(), "tensor") if layer.trainable]
    assert "base_model.model.body.0.lora_A.default.weight" in names


def test_another_kind_of_adapter():
    config = IA3Config(target_modules=["body.0", "body.2"], feedforward_modules=["body.2"])
    found = trained(get_peft_model(Net(), config))
    assert found == {"body.0": ["ia3_l.default"], "body.2": ["ia3_l.default"]}


def test_is_adapted():
    model = adapted()
    names = [name for name, module in model.named_modules() if is_adapted(module)]
    assert names == [f"base_model.model.{name}" for name in ("words", "body.0", "body.2")]


@pytest.mark.parametrize("dora", [False, True])
def test_a_pair_drops_and_moves_together(dora):
    torch.manual_seed(0)
    model = adapted(use_dora=dora)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.1)
    ldb = LayerDropBack(model, optimizer, Uniform(0.5), ALWAYS, verify=True)
    seen = set()
    for _ in ldb.epoch(range(12), 0):
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        model(torch.randint(11, (4, 5))).square().sum().backward()
        mask = [False] * len(ldb.layers) if ldb.mask is None else ldb.mask.tolist()
        optimizer.step()
        optimizer.zero_grad()
        now = dict(model.named_parameters())
        moved = {name for name in before if not torch.equal(before[name], now[name])}
        for layer, gone in zip(ldb.layers, mask, strict=True):
            if layer.trainable:
                assert set(layer.parameter_names).isdisjoint(moved) == gone
        seen.add(tuple(mask))
    assert len(seen) > 3
