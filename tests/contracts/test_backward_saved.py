"""What ``stats()["backward_saved"]`` says is what a real backward pass is without."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from attached import attach, dropping
from layerdropback import Control, LayerDropBack, Schedule, Truncate
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


def backward_flops(entry, model, batch):
    """Counted by torch, while the gradients are made; the weights stay as they are."""
    inputs, target = batch
    with sdpa_kernel(SDPBackend.MATH):  # of the CPU's fused attention torch counts nothing
        loss = entry.loss(model(inputs), target)
    with FlopCounterMode(display=False) as counter:
        loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["resnet", "vit"])
@pytest.mark.parametrize("strategy", ["truncate", "branch"])
def test_it_is_what_torch_counts(name, strategy):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, dropping(strategy), schedule=ALWAYS)
    counted = []
    for step, batch in enumerate(ldb.epoch(entry.batches(8), 0)):
        counted.append(backward_flops(entry, model, batch))
        optimizer.step()
        optimizer.zero_grad()
        saved = [1 - flops / counted[0] for flops in counted]
        mean = sum(saved) / (step + 1)
        assert ldb.stats()["backward_saved"] == pytest.approx(mean, abs=1e-9), step
    assert saved[0] == 0, "the step that was recorded"
    assert len(set(saved)) > 1, "masks that cost differently"


class Unused(nn.Module):
    """A large output that the loss does not use."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
        self.head, self.large = nn.Linear(8, 3), nn.Linear(8, 100)

    def forward(self, x):
        x = self.body(x)
        return self.head(x), self.large(x)


def test_an_output_that_the_loss_does_not_use_costs_nothing():
    model, counted = Unused(), []
    ldb, optimizer = attach(model, Truncate(0.4), schedule=ALWAYS)
    for _ in ldb.epoch(range(8), 0):
        loss = model(torch.randn(4, 8))[0].square().mean()
        with FlopCounterMode(display=False) as counter:
            loss.backward()
        counted.append(counter.get_total_flops())
        optimizer.step()
        optimizer.zero_grad()
    saved = [1 - flops / counted[0] for flops in counted]
    assert ldb.stats()["backward_saved"] == pytest.approx(sum(saved) / 8, abs=1e-9)
    assert any(saved)


@pytest.mark.parametrize(
    ("strategy", "saved"),
    [
        ("uniform", [None, None]),
        (Control(), [0.0, 0.0]),
        (Truncate(0.0), [None, None]),  # nothing is recorded where nothing will be dropped
    ],
)
def test_where_costs_are_not_known_or_nothing_drops(strategy, saved):
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy)
    for epoch in range(2):
        assert entry.train(ldb, model, optimizer, [epoch], 2)
        assert ldb.stats()["backward_saved"] == saved[epoch]


def test_full_epochs_save_nothing_and_each_epoch_counts_anew():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, Truncate(0.5))
    assert ldb.stats()["backward_saved"] is None, "before the first step nothing is known"
    seen = []
    for epoch in range(3):
        entry.train(ldb, model, optimizer, [epoch], 8)
        seen.append(ldb.stats()["backward_saved"])
    assert (seen[0], seen[2]) == (0.0, 0.0)
    assert seen[1] > 0.2


def test_it_is_not_known_where_an_argument_wants_a_gradient():
    """Then no branch is detached, and what the rest of it would have saved was not counted."""
    entry = ZOO["residual"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, dropping("branch", 0.9), ALWAYS)
    for number, (inputs, target) in enumerate(ldb.epoch(entry.batches(4), 0)):
        entry.loss(model(inputs.requires_grad_(number == 2)), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert (ldb.stats()["backward_saved"] is None) == (number >= 2)
