"""Cuts in models whose head shares its weight with the embedding: the early use is cut off, too."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from attached import attach
from layerdropback import StateError, Truncate
from twins import ALWAYS
from zoo import ZOO, Entry


def cut(share=0.5, depth="uniform", **fields):
    return Truncate(share, depth, **fields)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_a_model_cut_by_hand():
    entry = ZOO["tied_gpt"]
    model = entry.model()
    ldb, optimizer = attach(model, cut(unit="block"), schedule=ALWAYS)
    depths = set()
    for number, batch in enumerate(ldb.epoch(entry.batches(24), 0)):
        other = copy.deepcopy(model)
        mask = ldb.mask
        if mask is not None and mask.any():
            dropped = [layer for layer, out in zip(ldb.layers, mask, strict=True) if out]
            for name in (name for layer in dropped for name in layer.parameter_names):
                other.get_parameter(name).requires_grad_(False)
            other.tokens.register_forward_hook(lambda m, args, output: output.detach())
            depths.add(len(dropped))
        assert number == 0 or mask is not None
        entry.backward(other, batch)
        entry.backward(model, batch)
        torch.testing.assert_close(gradients(model), gradients(other), rtol=0, atol=0)
        assert "head.weight" in gradients(model), "the head's own use is always trained"
        optimizer.step()
        optimizer.zero_grad()
    assert len(depths) > 2


def test_forward_outputs_stay_the_same_to_the_last_bit():
    entry = ZOO["tied_gpt"]
    model = entry.model()
    ldb, optimizer = attach(model, Truncate(0.6), schedule=ALWAYS)
    entry.train(ldb, model, optimizer, [0], steps=2)
    (batch,) = entry.batches(1)
    with ldb.epoch(None, 1):
        assert ldb.mask.any()
        inside = model(batch[0])
    torch.testing.assert_close(inside, model(batch[0]), rtol=0, atol=0)


class TwoHeads(nn.Module):
    """Both have the embedding's weight, each behind a depth of its own."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 8)
        self.body, self.upper = nn.Linear(8, 8), nn.Linear(8, 8)
        self.low, self.high = nn.Linear(8, 7), nn.Linear(8, 7)
        self.low.weight = self.high.weight = self.tokens.weight

    def forward(self, tokens):
        x = torch.tanh(self.body(self.tokens(tokens)))
        return self.low(x), self.high(torch.tanh(self.upper(x)))


@pytest.mark.parametrize("used", [(0, 1), (0,), (1,)])
def test_no_head_is_the_early_use_of_another(used):
    """Also where the loss does not use what is used last."""
    model, cuts = TwoHeads(), 0
    ldb, optimizer = attach(model, cut(0.2), schedule=ALWAYS)
    for _ in ldb.epoch(range(40), 0):
        outputs = model(torch.arange(7))
        assert all(outputs[number].requires_grad for number in used)
        sum(outputs[number].square().mean() for number in used).backward()
        dropped = ldb.mask is not None and ldb.mask.any()
        assert model.tokens.weight.grad is not None
        assert (model.body.weight.grad is None) == dropped
        cuts += dropped
        optimizer.step()
        optimizer.zero_grad()
    assert cuts > 2


def test_hugging_face_gpt2_from_config():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=4, n_embd=32, n_head=2, vocab_size=50, n_positions=16, use_cache=False
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    assert model.lm_head.weight is model.transformer.wte.weight
    ldb, optimizer = attach(model, Truncate(0.6, unit="block"), schedule=ALWAYS)
    tokens = torch.randint(50, (2, 16))
    graded = []
    for _ in ldb.epoch(range(4), 0):
        mask = ldb.mask
        reached = []
        handle = model.transformer.wte.register_forward_hook(
            lambda m, args, output, seen=reached: seen.append(output.requires_grad)
        )
        model(input_ids=tokens, labels=tokens).loss.backward()
        handle.remove()
        assert reached == [mask is None], "cut off, so that backward stops above it"
        assert model.lm_head.weight.grad is not None
        graded.append(model.transformer.h[0].mlp.c_fc.weight.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
    assert graded == [False] * 4


def test_a_resumed_run_cuts_as_the_unbroken_one():
    entry = ZOO["tied_gpt"]
    model = entry.model()
    ldb, optimizer = attach(model, cut(), schedule=ALWAYS)
    entry.train(ldb, model, optimizer, [0])
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict(), ldb.state_dict()))
    assert kept[2]["early"] == {"head.weight": ["tokens"]}
    expected = entry.train(ldb, model, optimizer, [1])
    again = entry.model()
    other, other_optimizer = attach(again, cut(), schedule=ALWAYS)
    again.load_state_dict(kept[0])
    other_optimizer.load_state_dict(kept[1])
    other.load_state_dict(kept[2])
    assert entry.train(other, again, other_optimizer, [1]) == expected
    torch.testing.assert_close(dict(again.state_dict()), dict(model.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize(
    "damage", [{"head.weight": "nowhere"}, {"nothing": "tokens"}, {"head.weight": 3}, []]
)
def test_a_damaged_state_is_refused(damage):
    ldb, _ = attach(ZOO["tied_gpt"].model(), cut())
    with pytest.raises(StateError, match="the state has no usable 'early'"):
        ldb.load_state_dict(ldb.state_dict() | {"early": damage})


class Recurrent(nn.Module):
    """One module is used early, and is the head, too: its early use cannot be cut off by it."""

    def __init__(self):
        super().__init__()
        self.shared, self.middle = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.shared(self.middle(self.shared(x)))


class Functional(nn.Module):
    """The early use is in the root's own forward, around everything."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.middle = nn.Linear(8, 8)

    def forward(self, x):
        return functional.linear(self.middle(functional.linear(x, self.weight)), self.weight)


@pytest.mark.parametrize("build", [Recurrent, Functional])
def test_an_early_use_that_no_module_makes_alone_is_told(build):
    """Nothing lies below it, so every step is a full one."""
    entry = Entry(build, lambda: torch.randn(4, 8), "", loss=lambda out, t: out.square().mean())
    model = entry.model()
    ldb, optimizer = attach(model, Truncate(0.3), schedule=ALWAYS)
    with pytest.warns(UserWarning, match="no layer can be dropped in drop epoch 0"):
        masks = entry.train(ldb, model, optimizer, [0], steps=3)
    assert masks == [None] * 3
