"""Models of several kinds through Lightning: what moves, and what is kept for backward."""

import itertools

import pytest
import timm
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.checkpoint import checkpoint

from attached import dropping, each_strategy
from by_hand import skip_net
from layerdropback import Truncate
from layerdropback.integrations.lightning import LayerDropBackCallback
from layerdropback.lab.held import SavedBytes
from lightning_runs import QUIET, Classifier, Masks, States, fit, sgd
from zoo import CLASSES, ZOO, Entry, image

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

STEPS = 8

MODELS = {name: ZOO[name] for name in ("resnet", "vit", "tied_gpt")}
MODELS["resnet10t"] = Entry(lambda: timm.create_model("resnet10t", num_classes=CLASSES), image, "")

each_model = pytest.mark.parametrize(
    "model",
    [pytest.param(n, marks=[pytest.mark.slow] if n == "resnet10t" else []) for n in MODELS],
)


class Trains(LightningModule):
    """Trains a model of the zoo.

    Attributes:
        weights: of all parameters after each step, by name.
        saved: bytes that each forward pass kept for its backward pass.
    """

    def __init__(self, entry):
        super().__init__()
        self.net, self._entry = entry.model(), entry
        self.weights, self.saved = [], []

    def training_step(self, batch, index):
        with SavedBytes(self.net) as saved:
            output = self._entry.select(self.net(batch[0]))
        self.saved.append(saved.total)
        return self._entry.loss(output, batch[1])

    def on_train_batch_end(self, outputs, batch, index):
        self.weights.append({n: p.detach().clone() for n, p in self.named_parameters()})

    def configure_optimizers(self):
        return sgd(self.parameters())


class Gradients(Callback):
    """In each step the parameters without a gradient, and those whose gradient is all zeros."""

    def __init__(self):
        self.none, self.zero = [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        found = {name: p.grad for name, p in module.named_parameters()}
        self.none.append({name for name, grad in found.items() if grad is None})
        self.zero.append({n for n, grad in found.items() if grad is not None and not grad.any()})


def run(model, strategy):
    callback = LayerDropBackCallback(strategy, seed=3, verify=True)
    masks, states, gradients = Masks(callback), States(), Gradients()
    batches = torch.utils.data.DataLoader(MODELS[model].batches(STEPS), batch_size=None)
    module = fit(
        Trains(MODELS[model]), callback, masks, states, gradients, data=batches, max_epochs=1
    )
    return module, masks.found, states.found, gradients


@each_strategy
@each_model
def test_only_what_is_dropped_stands_still(model, strategy):
    module, masks, states, gradients = run(model, dropping(strategy))
    assert gradients.none == masks
    assert masks[0] == set()
    assert any(masks)
    pairs = itertools.pairwise(zip(module.weights, states, strict=True))
    for dropped, zero, (before, after) in zip(masks[1:], gradients.zero[1:], pairs, strict=True):
        for old, new in zip(before, after, strict=True):
            still = {name for name in old if same(old[name], new[name])}
            assert dropped <= still <= dropped | zero


def same(one, other):
    return one is other is None or (
        one is not None and other is not None and torch.equal(one, other)
    )


@each_strategy
@each_model
def test_a_step_that_drops_keeps_less_for_its_backward_pass(model, strategy):
    """Always below a cut; elsewhere other layers may need the same activations."""
    module, masks, *_ = run(model, dropping(strategy))
    full = module.saved[0]
    less = [saved < full for saved in module.saved]
    assert any(less)
    assert max(module.saved) == full
    if strategy == "truncate":
        assert less == list(map(bool, masks))


# ---- checkpointing inside of the network ---------------------------------------------------------


class Checkpointed(nn.Module):
    """Recomputes each block in the backward pass.

    Attributes:
        calls: of each block, in one step.
    """

    def __init__(self):
        super().__init__()
        self.blocks = skip_net(blocks=4)
        self.calls = []
        for place, block in enumerate(self.blocks):
            block.register_forward_pre_hook(lambda *_, place=place: self.calls.append(place))

    def forward(self, x):
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return x


class Recomputes(Classifier):
    def __init__(self):
        super().__init__()
        self.net, self.steps = Checkpointed(), []

    def on_train_batch_end(self, *arguments):
        super().on_train_batch_end(*arguments)
        self.steps.append([self.net.calls.count(place) for place in range(6)])
        self.net.calls.clear()


def test_below_a_cut_nothing_is_recomputed():
    callback = LayerDropBackCallback(Truncate(0.5), verify=True)
    masks = Masks(callback)
    module = fit(Recomputes(), callback, masks, max_epochs=1)
    assert module.steps[0] == [2] * 6
    for dropped, calls in zip(masks.found[1:], module.steps[1:], strict=True):
        below = {int(name.split(".")[2]) for name in dropped}
        cut = max(below) if cut_inside(max(below), dropped) else max(below) + 1
        assert calls == [1] * cut + [2] * (6 - cut)
        assert 2 <= cut <= 4


def cut_inside(place, dropped):
    """Whether a block is dropped only in part."""
    return len([name for name in dropped if name.split(".")[2] == str(place)]) == 2
