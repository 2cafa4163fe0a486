"""Several outputs, of which a step's loss is made of some: the last layer of each is kept."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn

from attached import each_but_branch, each_strategy, sgd
from by_hand import Beside, block, heard, loss_of, never_dropped


class Pair(NamedTuple):
    depth: torch.Tensor
    kind: torch.Tensor


@dataclass
class Record:
    depth: torch.Tensor
    kind: torch.Tensor


FORMS = {
    "dict": lambda depth, kind: {"depth": depth, "kind": kind},
    "tuple": lambda depth, kind: (depth, kind),
    "named tuple": Pair,
    "dataclass": Record,
    "object": lambda depth, kind: SimpleNamespace(depth=depth, kind=kind),
    "nested": lambda depth, kind: [depth, {"more": [kind]}],
}


def parts(output):
    """Both tensors, in whatever form they come."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict | list | tuple):
        values = output.values() if isinstance(output, dict) else output
    else:
        values = vars(output).values()
    return [tensor for value in values for tensor in parts(value)]


class Tasks(nn.Module):
    """A trunk and two heads of one or more layers."""

    def __init__(self, form="tuple", deep=False):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 8), block(), block())
        self.depth, self.kind = head(1, deep), head(3, deep)
        self.form = FORMS[form]

    def forward(self, x):
        x = self.trunk(x)
        return self.form(self.depth(x), self.kind(x))


def head(width, deep):
    first = [nn.Linear(8, 8), nn.Tanh()] if deep else []
    return nn.Sequential(*first, nn.Linear(8, width))


class Labels:
    """Passes with labels for both tasks at first, then for one at a time.

    Args:
        both: so many steps have both, from the first one on.
    """

    def __init__(self, both=5):
        self.both, self.steps = both, {}

    def of(self, model):
        """Which tasks have labels in a step of this model."""
        self.steps[id(model)] = step = self.steps.get(id(model), 0) + 1
        return (0, 1) if step <= self.both else (step % 2,)

    def __call__(self, model):
        depth, kind = parts(model(torch.randn(4, 8)))
        losses = [depth.square().mean(), loss_of(kind)]
        sum(losses[task] for task in self.of(model)).backward()


@each_but_branch
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_two_outputs(form, strategy):
    stats = Beside(lambda: Tasks(form), strategy, verify=False).train(Labels(), epochs=3)
    assert stats["drop_steps"] == 29
    assert {"depth.0", "kind.0"} <= never_dropped(stats)


@each_strategy
def test_deep_heads_drop_but_for_their_last_layers(strategy):
    pair = Beside(lambda: Tasks(deep=True), strategy, verify=False)
    with heard() as texts:
        stats = pair.train_alone(Labels(), epochs=3)
    assert {"depth.2", "kind.2"} <= never_dropped(stats)
    assert stats["drop_steps"] == 35
    assert texts == []


@each_but_branch
def test_labels_of_one_task_from_the_first_step_on(strategy):
    stats = Beside(Tasks, strategy, verify=False).train(Labels(both=0), epochs=3)
    assert stats["drop_steps"] == 27, "each head is learnt in a full step"
    assert {"depth.0", "kind.0"} <= never_dropped(stats)


def test_heads_with_an_optimizer_of_their_own():
    def optimizers(model):
        return [sgd(model.kind), torch.optim.AdamW([*model.trunk.parameters()]), sgd(model.depth)]

    stats = Beside(Tasks, "uniform", optimizers, verify=False).train(Labels(), epochs=3)
    assert {"depth.0", "kind.0"} <= never_dropped(stats)


@each_strategy
@pytest.mark.parametrize("names", [("kind",), ("kind", "depth")])
def test_a_head_that_is_frozen_has_the_layer_before_it_kept(names, strategy):
    """Also where it is frozen on the way, and its own loss comes alone."""
    pair = Beside(lambda: Tasks(deep=True), strategy, verify=False)
    passes = Labels(both=12)
    pair.train_alone(passes)
    for name in names:
        getattr(pair.model, name).requires_grad_(False)
    before = pair.ldb.stats()["times_dropped"]
    after = pair.train_alone(passes, epochs=4)["times_dropped"]
    assert after["trunk.2.inner.2"] == before["trunk.2.inner.2"]
    assert sum(after.values()) > sum(before.values())


class Deep(Tasks):
    """Deep supervision: a head after each block."""

    def __init__(self):
        super().__init__()
        self.low = nn.Linear(8, 3)

    def forward(self, x):
        x = self.trunk[:2](x)
        return self.low(x), self.kind(self.trunk[2](x))


@each_but_branch
def test_deep_supervision(strategy):
    def passes(model):
        outputs = model(torch.randn(4, 8))
        model.turn = getattr(model, "turn", 0) + 1
        losses = [loss_of(output) for output in outputs]
        (sum(losses) if model.turn < 6 else losses[model.turn % 2]).backward()

    stats = Beside(Deep, strategy, verify=False).train(passes, epochs=3)
    assert {"low", "kind.0"} <= never_dropped(stats)


class Inside(Tasks):
    """Computes its loss itself, of the labels that are there, and gives some logits with it."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, x, tasks):
        x = self.trunk(x)
        depth, kind = self.depth(x), self.kind(x)
        losses = [depth.square().mean(), loss_of(kind)]
        loss = sum(losses[task] for task in tasks)
        more = {"both": (depth, kind), "one": (depth,), "none": (), "losses": losses}[self.given]
        return {"loss": loss, "more": more}


@each_but_branch
@pytest.mark.parametrize("given", ["both", "one", "none", "losses"])
def test_the_loss_is_computed_inside(given, strategy):
    labels = Labels(both=0)

    def passes(model):
        model(torch.randn(4, 8), labels.of(model))["loss"].backward()

    stats = Beside(lambda: Inside(given), strategy, verify=False).train(passes, epochs=3)
    assert stats["drop_steps"] == 27
    assert {"depth.0", "kind.0"} <= never_dropped(stats)


def test_losses_beside_logits_of_another_head_have_their_ends():
    """A detector's: the loss of one head, and what the other one gives."""

    class Net(Tasks):
        def forward(self, x):
            depth, kind = super().forward(x)
            return {"loss": loss_of(kind), "depth": depth}

    def passes(model):
        output = model(torch.randn(4, 8))
        (output["loss"] + output["depth"].square().mean()).backward()

    stats = Beside(Net, "uniform").train(passes, epochs=3)
    assert {"depth.0", "kind.0"} <= never_dropped(stats)


def test_a_task_that_is_named_in_the_call():
    class Net(Tasks):
        def forward(self, x, task):
            return getattr(self, task)(self.trunk(x))

    def passes(model):
        model.turn = getattr(model, "turn", 0) + 1
        name = ("depth", "kind")[model.turn // 12]  # the second comes in the second epoch
        model(torch.randn(4, 8), name).square().mean().backward()

    stats = Beside(Net, "uniform", verify=False).train(passes, epochs=2)
    assert stats["drop_steps"] == 18
    assert {"depth.0", "kind.0"} <= never_dropped(stats)
