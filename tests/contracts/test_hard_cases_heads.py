"""What is the last layer is told by its use: of odd models, and while flags change."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from attached import UNITS, attach, dropped_names
from layerdropback import Schedule, Uniform
from loops import drop_counts, steps
from zoo import ZOO, Auxiliary, mlp


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_classifier_is_kept_whole(norm, unit):
    model = mlp()
    model[4] = norm(model[4])
    counts = drop_counts(model, unit=unit)
    assert all((times == 0) == name.startswith("4") for name, times in counts.items())


def test_a_temperature_after_the_classifier_does_not_take_its_place():
    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(*mlp())
            self.temperature = nn.Parameter(torch.ones(()))

        def forward(self, x):
            for module in list(self):
                x = module(x)
            return x * self.temperature.exp()

    counts = drop_counts(Net())
    assert counts["4"] == 0
    assert counts["0"] > 0
    assert counts["(root)"] > 0


def test_the_roots_own_tensors_are_not_one_classifier():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for number in range(3):
                setattr(self, f"w{number}", nn.Parameter(torch.randn(8, 8) * 0.3))

        def forward(self, x):
            return x @ self.w0 @ self.w1 @ self.w2

    counts = drop_counts(Net(), unit="tensor")
    assert counts["w2"] == 0
    assert counts["w0"] > 0
    assert counts["w1"] > 0


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x, task):
        return getattr(self, task)(self.body(x))


def one_after_the_other(model):
    for task in "ab":
        model(torch.randn(2, 8), task).sum().backward()


def together(model):
    x = torch.randn(2, 8)
    (model(x, "a") + model(x, "b")).sum().backward()


@pytest.mark.parametrize("backward", [one_after_the_other, together])
def test_two_heads_that_are_called_apart_are_both_kept(backward):
    counts = drop_counts(TwoHeads(), backward)
    assert counts["a"] == counts["b"] == 0
    assert counts["body"] > 0


def test_a_shared_layer_under_autocast_is_last_where_it_is_used_last():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.shared, self.b = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.shared(self.b(self.shared(self.a(x))))

    counts = drop_counts(Net(), lambda m: m(torch.randn(2, 8)).float().sum().backward())
    assert counts["shared"] == 0
    assert counts["b"] > 0


def test_freezing_the_classifier_keeps_the_layer_before_it():
    model = mlp()
    ldb, optimizer = attach(model, Uniform(0.9))
    steps(ldb, model, optimizer, 0)
    with ldb.epoch(None, 1):
        model[4].requires_grad_(False)
        for _ in range(10):
            ldb.redraw()
            assert not dropped_names(ldb) & {"2.weight", "2.bias"}
            model(torch.randn(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        model[4].requires_grad_(True)
        ldb.redraw()
        masks = []
        for _ in range(20):
            masks.append(dropped_names(ldb))
            ldb.redraw()
        assert not any("4.weight" in names for names in masks)
        assert any("2.weight" in names for names in masks)


def test_a_frozen_head_whose_layer_trains_elsewhere_keeps_the_layer_before_it():
    """Heads that share a weight are one layer; the other's bias is of no use to this output."""
    model = TwoHeads()
    model.body, model.b.weight = nn.Sequential(model.body, nn.Linear(8, 8)), model.a.weight
    ldb, optimizer = attach(model, Uniform(0.9), schedule=Schedule(every=1, start=1), verify=False)

    def one(net):
        net(torch.randn(2, 8), "a").sum().backward()

    steps(ldb, model, optimizer, 0, backward=together)
    model.a.requires_grad_(False)
    steps(ldb, model, optimizer, 1, 20, one)
    times = ldb.stats()["times_dropped"]
    assert times.pop("body.0") > 0
    assert times == {"body.1": 0, "a+b": 0}


def test_freezing_at_the_top_of_the_loop_is_seen_in_the_same_step():
    """The head is frozen in every other step, after the mask was drawn."""
    model = mlp()
    ldb, optimizer = attach(model, Uniform(0.9), schedule=Schedule(every=1, start=1))
    steps(ldb, model, optimizer, 0)
    for number in ldb.epoch(range(40), 1):
        model[4].requires_grad_(number % 2 == 0)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    times = ldb.stats()["times_dropped"]
    assert times["4"] == 0
    assert 0 < times["2"] < times["0"]


def test_what_only_a_later_loss_reaches_is_learnt_and_its_head_kept():
    model, both = Auxiliary(), ZOO["auxiliary"]
    ldb, optimizer = attach(model, Uniform(0.9), verify=False)

    def auxiliary(net):
        net(torch.randn(2, 8))["auxiliary"].sum().backward()

    def everything(net):
        both.backward(net, both.batches(1)[0])

    steps(ldb, model, optimizer, 0, 2, auxiliary)
    for epoch in (2, 3):
        steps(ldb, model, optimizer, epoch, 20, everything)
    counts = ldb.stats()["times_dropped"]
    assert counts["upper"] > 0
    assert counts["classifier"] == counts["auxiliary"] == 0
