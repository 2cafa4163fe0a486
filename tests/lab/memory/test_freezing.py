"""Blocks that train by themselves, and adapters."""

import pytest
from torch import nn

import memory_models as models
from layerdropback import UsageError
from layerdropback.lab.memory.freezing import adapt, blocks_of, train_blocks


def trained(model):
    return {name.partition(".weight")[0] for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("kind", "count"), [("gpt2", 4), ("llama", 4), ("bert", 4), ("vit", 4), ("resnet18", 8)]
)
def test_blocks_are_found_in_every_kind(kind, count):
    assert len(blocks_of(models.make_model(kind))) == count


def test_the_lowest_blocks_train_and_nothing_else():
    model = train_blocks(models.llama(), 1)
    assert all(name.startswith("model.layers.0.") for name in trained(model))


def test_the_rest_may_train_too():
    model = train_blocks(models.llama(), 1, rest=True)
    outside = {name for name in trained(model) if not name.startswith("model.layers.0.")}
    assert outside == {"model.embed_tokens", "model.norm", "lm_head"}


def test_the_largest_are_a_resnets_last():
    model = train_blocks(models.resnet18(), 1, "largest")
    assert all(name.startswith("layer4.1") for name in trained(model))


def test_what_the_user_froze_stays_frozen():
    model = models.llama()
    model.model.layers[0].mlp.requires_grad_(False)
    assert not any(".mlp." in name for name in trained(train_blocks(model, 1)))


def test_too_few_blocks_are_an_error():
    with pytest.raises(UsageError, match="Sequential has 0 repeated blocks, not 2. Cause: blocks"):
        train_blocks(nn.Sequential(nn.Linear(2, 2)), 2)


def test_adapters_are_on_the_matrices_in_blocks():
    model = adapt(models.llama(), rank=4)
    assert len(trained(model)) == 4 * 7 * 2
    assert not any("lm_head" in name for name in trained(model))
    only = adapt(models.llama(), rank=4, only=("q_proj", "v_proj"))
    assert len(trained(only)) == 4 * 2 * 2


def test_a_model_without_matrices_in_blocks_takes_none():
    with pytest.raises(UsageError, match="Sequential cannot take LoRA. Cause: there is no linear"):
        adapt(nn.Sequential(nn.Linear(2, 2)))
