"""Gradient checkpointing: what is computed again has the mask of the step, and nothing changes."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from attached import attach, dropped_names, dropping, each_strategy, flags
from chain import BLOCKS, Chain, together, vectors
from layerdropback import AttachError, Truncate
from twins import ALWAYS, Twins
from zoo import ZOO


def some_mask(masks):
    """Whether steps differ in what they drop; otherwise a test says little."""
    drawn = [mask for mask in masks if mask is not None]
    return len(drawn) >= 12 and len(set(drawn)) >= 4 and any(map(any, drawn))


@pytest.mark.parametrize("accumulate", [1, 2])
@each_strategy
def test_gradients_and_masks_are_those_without_checkpointing(strategy, accumulate):
    entry = ZOO["vit"]
    model, twin = entry.model(), entry.model()
    model.set_grad_checkpointing()
    twins = Twins(model, twin, strategy=dropping(strategy))
    twins.train(entry.backward, entry.batches(7 * accumulate), range(2), accumulate)
    assert some_mask(twins.masks)
    twins.compare_states()


def one_by_one(model, batch):
    for head in reversed(model(batch)):
        head.square().mean().backward(retain_graph=True)


def of_two_calls(model, batch):
    for loss in [model(batch)[number].square().mean() for number in (0, 1)]:
        loss.backward()


@pytest.mark.parametrize("unit", ["layer", "block"])
@pytest.mark.parametrize("losses", [together, one_by_one, of_two_calls])
@each_strategy
def test_several_losses_and_dropout(strategy, losses, unit):
    """What is computed again must see the flags of the forward pass, in the second backward too."""
    model = Chain(True, heads=2)
    chosen = dropping(strategy, unit=unit, keep=["heads"])
    twins = Twins(model, Chain(heads=2), strategy=chosen)
    twins.train(losses, vectors(8), range(2))
    assert some_mask(twins.masks)
    assert all(flags(model).values())
    twins.compare_states()


class TiedBelow(nn.Module):
    """Its head has the weight of its embedding, whose use lies in a checkpointed part."""

    def __init__(self, checkpointed):
        super().__init__()
        self.embedding, self.middle = nn.Embedding(5, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.checkpointed = checkpointed

    def below(self, tokens, x):
        return torch.tanh(self.embedding(tokens)) + x

    def forward(self, tokens, x):
        if self.checkpointed:
            h = checkpoint(self.below, tokens, x, use_reentrant=False)
        else:
            h = self.below(tokens, x)
        return self.head(torch.tanh(self.middle(h)))


@pytest.mark.parametrize("wants", [(True, False), (False, True)])
def test_each_of_two_passes_is_computed_again_as_it_was(wants):
    """A cut detaches the embedding in one of them: an argument of the other wants a gradient."""

    def passes(model, batch):
        inputs = [batch.clone().requires_grad_(flag) for flag in wants]
        sum(model(torch.arange(4), x).square().mean() for x in inputs).backward()

    twins = Twins(TiedBelow(True), TiedBelow(False), strategy=Truncate(0.2, "uniform"))
    twins.train(passes, vectors(12), range(1))
    assert any(mask is not None and any(mask) for mask in twins.masks)
    twins.compare_states()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
@pytest.mark.parametrize(
    "strategy",
    ["uniform", *(pytest.param(s, marks=pytest.mark.slow) for s in ("truncate", "branch"))],
)
def test_compiled_blocks(strategy):
    torch._dynamo.reset()
    model, twin = Chain(True, dropout=0), Chain(dropout=0)
    for block in model.blocks:
        block.compile(backend="aot_eager")
    twins = Twins(model, twin, strategy=dropping(strategy, unit="block"), rtol=1e-4, atol=1e-6)
    twins.train(together, vectors(8), range(2))
    assert some_mask(twins.masks)


def test_what_lies_below_a_cut_is_not_computed_again():
    model = Chain(True)
    calls = Counter()
    for number, block in enumerate(model.blocks):
        block.register_forward_pre_hook(lambda *_, name=f"blocks.{number}": calls.update([name]))
    ldb, optimizer = attach(model, dropping("truncate", unit="block"), schedule=ALWAYS)
    seen = set()
    for batch in ldb.epoch(vectors(20), 0):
        below = {name.rsplit(".", 3)[0] for name in dropped_names(ldb)}
        calls.clear()
        together(model, batch)
        assert calls == {f"blocks.{i}": 2 - (f"blocks.{i}" in below) for i in range(BLOCKS)}
        seen.add(len(below))
        optimizer.step()
        optimizer.zero_grad()
    assert len(seen) >= 4


def test_reentrant_checkpointing_is_refused_at_the_first_step():
    class Reentrant(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block, self.head = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            return self.head(checkpoint(self.block, self.stem(x), use_reentrant=True))

    model = Reentrant()
    ldb, _ = attach(model)
    with pytest.raises(AttachError, match="reentrant checkpointing"), ldb.epoch(None, 0):
        model(torch.randn(2, 8))
