"""Little that trains: a head, adapters, biases, norms or a prompt alone."""

import pytest
import torch
from torch import nn

from attached import dropping, each_but_branch, each_strategy, sgd
from by_hand import ALWAYS, Beside, heard, never_dropped
from layerdropback import LayerDropBack, Schedule
from thawing import NOTHING, head_alone, net, of_all, of_trained


@each_strategy
@pytest.mark.parametrize("optimizers", [of_trained, of_all])
@pytest.mark.parametrize("schedule", [ALWAYS, Schedule(2, 1)])
def test_the_head_alone_trains_in_full_steps_and_hears_it_once(optimizers, schedule, strategy):
    pair = Beside(head_alone, strategy, optimizers, schedule=schedule)
    with heard() as texts:
        stats = pair.train(epochs=4)
    assert stats["drop_steps"] == 0
    (text,) = texts
    assert text.startswith(NOTHING.format(schedule.start))
    assert "Cause: every layer is frozen" in text
    assert "Cure: unfreeze or keep less" in text


class Adapter(nn.Module):
    """A linear layer that is frozen, and two small ones beside it."""

    def __init__(self, base):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def adapted(head):
    def make():
        model = net().requires_grad_(False)
        for block in model[1:4]:
            block.a, block.b = Adapter(block.a), Adapter(block.b)
        model[-1].requires_grad_(head)
        return model

    return make


def named(part):
    def make():
        model = net()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(part in name)
        return model

    return make


@each_but_branch
@pytest.mark.parametrize("make", [adapted(True), adapted(False), named("bias"), named("norm")])
def test_adapters_biases_or_norms_alone(make, strategy):
    pair = Beside(make, strategy, of_trained)
    stats = pair.train(epochs=2)
    assert stats["drop_steps"] == 19
    last = [layer for layer in pair.ldb.layers if layer.trainable][-1]
    assert last.name in never_dropped(stats)


class Prompted(nn.Module):
    """What is trained comes first, and nothing after it trains."""

    def __init__(self):
        super().__init__()
        self.prompt = nn.Parameter(torch.zeros(8))
        self.net = net().requires_grad_(False)

    def forward(self, x):
        return self.net(x + self.prompt)


@each_strategy
def test_a_prompt_alone_trains_in_full_steps(strategy):
    with heard() as texts:
        stats = Beside(Prompted, strategy, of_trained).train()
    assert stats["drop_steps"] == 0
    assert len(texts) == 1


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_a_loop_whose_closure_clears_the_gradients_after_the_forward_pass(strategy):
    """Lightning's order; the head's gradient of the step before is no sign of a backward pass."""
    torch.manual_seed(0)
    model = head_alone()
    optimizer = sgd(model)
    ldb = LayerDropBack(model, optimizer, dropping(strategy, 0.3), ALWAYS, verify=True)

    def closure():
        out = model(torch.randn(4, 8))
        optimizer.zero_grad()
        loss = out.square().mean()
        loss.backward()
        return loss

    reached = []
    with heard() as texts:
        for epoch in range(3):
            model.requires_grad_(epoch > 0)
            model[-1].requires_grad_(True)
            for _ in ldb.epoch(range(12), epoch):
                optimizer.step(closure)
                reached.append(set(ldb.state_dict()["order"]["first"]))
    assert [text.partition(". Cause")[0] for text in texts] == [NOTHING.format(0)]
    assert reached[:12] == [{"4.weight", "4.bias"}] * 12
    assert reached[12:] == [{name for name, _ in model.named_parameters()}] * 24
    assert ldb.stats()["share_dropped"] > 0.1
