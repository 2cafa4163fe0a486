"""A cut holds: below it nothing is computed and nothing kept (promise 13)."""

import pytest
import torch
from torch import nn

from benchmarks.memory.cut_holds import full_and_cut, visits
from benchmarks.memory.cut_models import BLOCKS, MODELS, WAYS, subject
from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.engine import watch

ALWAYS = Schedule(every=1, start=0)
SLOW = {"vit-timm", "resnet18"}


def cases():
    for kind in MODELS:
        for way in WAYS:
            slow = kind in SLOW or way == "plain"
            yield pytest.param(kind, way, marks=[pytest.mark.slow] * slow)


@pytest.mark.parametrize(("kind", "way"), list(cases()))
def test_backward_stops_at_the_cut(kind, way):
    full, cut = full_and_cut(subject(kind, way))
    assert full.visited[0] == 0
    assert cut.visited[0] >= 2
    assert cut.held < full.held
    below = {name for name in full.gradients if name not in cut.gradients}
    assert 0.3 < len(below) / len(full.gradients) < 0.7
    for name, gradient in cut.gradients.items():
        if name != "transformer.wte.weight":  # GPT-2's tied head, whose early use is dropped
            assert torch.equal(gradient, full.gradients[name]), name


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_input_grads_change_nothing(kind):
    _, plain = full_and_cut(subject(kind, "plain"))
    _, forced = full_and_cut(subject(kind, "input grads"))
    assert forced.held == plain.held
    assert forced.visited == plain.visited
    torch.testing.assert_close(forced.gradients, plain.gradients, rtol=0, atol=0)


def test_the_check_sees_a_cut_that_does_not_hold(monkeypatch):
    monkeypatch.setattr(watch.Sources, "look", lambda self, *_: None)
    with pytest.warns(UserWarning, match="backward goes on below the cut"):
        _, cut = full_and_cut(subject("llama", "input grads"))
    assert cut.visited[0] == 0


def chain():
    torch.manual_seed(0)
    layers = [m for _ in range(BLOCKS) for m in (nn.Linear(8, 8), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(8, 3))


def test_a_tensor_that_the_forward_pass_makes_is_told():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach().requires_grad_().exp().mul(1.0)

    model = nn.Sequential(nn.Linear(8, 8), Cut(), *chain())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, Truncate(0.5), ALWAYS)

    def train():
        for _ in ldb.epoch(range(4), 0):
            model(torch.randn(4, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    text = r"backward goes on below the cut, to a tensor of shape \(4, 8\)\. Cause: the model"
    with pytest.warns(UserWarning, match=text):
        train()


@pytest.mark.parametrize("leaf", [True, False])
def test_the_gradient_of_an_argument_is_right(leaf):
    model, plain = chain(), chain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    ldb = LayerDropBack(model, optimizer, Truncate(0.5), ALWAYS)
    given = torch.randn(4, 8)
    with ldb.epoch(None, 0):
        model(given).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        x, y = (given.clone().requires_grad_() for _ in range(2))
        model(x if leaf else x * 1).square().sum().backward()
        assert ldb.mask.any()
    plain(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)
    assert model[0].weight.grad is None


def test_the_gradient_of_pixels_is_right_above_a_hook():
    it = subject("resnet18", "input grads")
    optimizer = torch.optim.SGD(it.model.parameters(), lr=0.0)
    ldb = LayerDropBack(it.model, optimizer, Truncate(0.5), ALWAYS)
    with ldb.epoch(None, 0):
        for _ in range(2):
            it.loss().backward()
            optimizer.step()
        it.model.eval()  # no statistics: the same pass twice
        images = torch.randn(2, 3, 32, 32, requires_grad=True)
        with visits(it.blocks) as visited:
            it.model(images).square().sum().backward()
        assert ldb.mask.any()
    ldb.detach()
    again = images.detach().clone().requires_grad_()
    it.model(again).square().sum().backward()
    assert min(visited) == 0
    torch.testing.assert_close(images.grad, again.grad, rtol=0, atol=0)
