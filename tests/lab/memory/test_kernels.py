"""Dropout keeps what it keeps on a GPU, where that is asked for."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import memory_models as models
from layerdropback.lab import count_memory, predict_memory
from layerdropback.lab.memory.fakes import like_cuda

ROWS, WIDTH = 64, 128


class Drops(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return self.dropout(self.linear(x)).sigmoid()


def sgd(model):
    return torch.optim.SGD(model.parameters())


def batch():
    return torch.ones(ROWS, WIDTH)


def test_a_dropout_mask_is_a_byte_for_each_number():
    counted = count_memory(Drops, sgd, batch)
    on_cpu = predict_memory(Drops, sgd, batch, device="cpu")
    on_gpu = predict_memory(Drops, sgd, batch)
    assert counted == on_cpu
    assert counted.saved == 4 * ROWS * WIDTH + 4 * ROWS * WIDTH + 4, "noise, sigmoid, loss"
    assert on_gpu.saved == ROWS * WIDTH + 4 * ROWS * WIDTH + 512


def test_attention_that_drops_keeps_no_weights():
    def saved(attention, device):
        config = models.hf.GPT2Config(
            n_layer=2, n_embd=64, n_head=4, vocab_size=97, resid_pdrop=0.0, embd_pdrop=0.0
        )
        config.attn_pdrop, config.use_cache = attention, False

        def make():
            return models.hf.GPT2LMHeadModel(config)

        return predict_memory(make, sgd, lambda: models.tokens(2, 256), device=device).saved

    assert saved(0.1, "cuda") == saved(0.0, "cuda")
    assert saved(0.1, "cpu") > 2 * saved(0.0, "cpu")


@pytest.mark.parametrize("training", [True, False])
def test_the_numbers_are_dropout(training):
    ones = torch.ones(1000)
    with like_cuda():
        dropped = functional.dropout(ones, 0.5, training)
        none = functional.dropout(ones, 0.0)
        inside = functional.dropout(ones.clone(), 0.5, training, True)
    assert torch.equal(none, ones)
    assert set(dropped.tolist()) == ({0.0, 2.0} if training else {1.0})
    assert set(inside.tolist()) == set(dropped.tolist())


def test_attention_gets_its_other_arguments():
    heads = torch.randn(1, 2, 5, 4)
    expected = functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    with like_cuda():
        attention = functional.scaled_dot_product_attention
        torch.testing.assert_close(attention(heads, heads, heads, None, 0.9, True), expected)
        named = attention(heads, heads, heads, dropout_p=0.9, is_causal=True, scale=None)
        torch.testing.assert_close(named, expected)


@pytest.mark.filterwarnings("ignore:.*use_cache=True.*")
@pytest.mark.parametrize("kind", ["vit", pytest.param("bert", marks=pytest.mark.slow)])
def test_what_checkpointing_computes_again_drops_likewise(kind):
    """Else torch would find that other tensors are kept."""

    def saved(checkpointing, device):
        def make():
            model = models.make_model(kind, checkpointing=checkpointing)
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.1
            return model

        given = (make, sgd, lambda: models.make_batch(kind))
        return predict_memory(*given, device=device).saved

    assert saved(True, "cuda") < saved(False, "cuda") < saved(False, "cpu")


def test_the_functions_are_put_back():
    before = functional.dropout, functional.scaled_dot_product_attention
    with pytest.raises(ZeroDivisionError), like_cuda():
        assert functional.dropout is not before[0]
        raise ZeroDivisionError
    assert (functional.dropout, functional.scaled_dot_product_attention) == before
