"""Adapters on the matrices in blocks."""

import pytest
from torch import nn

import memory_models as models
from layerdropback import UsageError
from layerdropback.lab.memory.adapting import adapt


def trained(model):
    return {name.partition(".weight")[0] for name, p in model.named_parameters() if p.requires_grad}


def test_adapters_are_on_the_matrices_in_blocks():
    model = adapt(models.llama(), rank=4)
    assert len(trained(model)) == 3 * 7 * 2
    assert not any("lm_head" in name for name in trained(model))
    only = adapt(models.llama(), rank=4, only=("q_proj", "v_proj"))
    assert len(trained(only)) == 3 * 2 * 2


def test_a_model_without_matrices_in_blocks_takes_none():
    with pytest.raises(UsageError, match="Sequential cannot take LoRA. Cause: there is no linear"):
        adapt(nn.Sequential(nn.Linear(2, 2)))
