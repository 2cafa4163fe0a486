"""Parts that the loss reaches only later are learnt when it does, in drop epochs too."""

import random

import pytest
import torch
from torch import nn

from attached import dropping, each_but_branch, sgd
from by_hand import ALWAYS, CLASSES, Beside, block, heard, loss_of, never_dropped
from layerdropback import LayerDropBack, Schedule


class Experts(nn.Module):
    """Some blocks in every pass; more of them later.

    Args:
        choose: of a pass's number the numbers of its blocks.
    """

    def __init__(self, choose):
        super().__init__()
        self.choose, self.passes = choose, 0
        self.experts = nn.ModuleList(block() for _ in range(4))
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        self.passes += 1
        x = self.stem(x)
        for number in self.choose(self.passes):
            x = self.experts[number](x)
        return self.head(x)


CHOICES = {
    "all later": lambda number: range(2 if number < 8 else 4),
    "one after the other": lambda number: [min(number // 6, 3)],
    "at random": lambda number: random.sample(range(4), 2),
    "seldom": lambda number: range(2 if number % 5 else 4),
}


@pytest.mark.in_turn("schedule")
@pytest.mark.parametrize("schedule", [ALWAYS, Schedule()])
@pytest.mark.parametrize("choice", CHOICES)
def test_experts_drop_once_they_have_been_called(choice, schedule):
    def make():
        return Experts(CHOICES[choice])

    with heard() as texts:
        pair = Beside(make, "uniform", schedule=schedule, verify=False)
        stats = pair.train(epochs=6 if schedule == ALWAYS else 10)
    assert not texts
    assert never_dropped(stats) == {"head"}
    assert stats["share_dropped"] > 0.25


class Warming(nn.Module):
    """A head that warms up before its body is trained."""

    def __init__(self, how):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), block(), block())
        self.head = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES))
        self.low = nn.Linear(8, CLASSES)
        self.how, self.passes = how, 0

    def forward(self, x):
        self.passes += 1
        warm = self.passes <= 12
        if self.how == "no_grad":
            with torch.set_grad_enabled(not warm):
                h = self.body(x)
            return [self.head(h)]
        if self.how == "skipped":
            return [self.head(x if warm else self.body(x))]
        if self.how == "auxiliary":
            return [self.head(self.body(x)), *([] if warm else [self.low(self.body[0](x))])]
        h = self.body[:2](x)
        if self.how == "in part":
            return [self.head(self.body[2](h.detach() if warm else h))]
        h = self.body[2](h)
        return [self.head(h.detach() if warm else h)]


@pytest.mark.in_turn("schedule")
@each_but_branch
@pytest.mark.parametrize("schedule", [ALWAYS, Schedule()])
@pytest.mark.parametrize("how", ["detached", "no_grad", "skipped", "auxiliary", "in part"])
def test_a_body_that_is_reached_later(how, schedule, strategy):
    def passes(model):
        sum(loss_of(output) for output in model(torch.randn(4, 8))).backward()

    pair = Beside(lambda: Warming(how), strategy, schedule=schedule, verify=False)
    with heard() as texts:
        stats = pair.train(passes, epochs=4 if schedule == ALWAYS else 8)
    assert not texts
    assert not {"body.0", "body.1.inner.0"} & never_dropped(stats)
    assert stats["share_dropped"] > 0.15


class Growing(Experts):
    """A new block from time to time, and a head for each depth."""

    def __init__(self):
        super().__init__(None)
        self.heads = nn.ModuleList(nn.Linear(8, CLASSES) for _ in range(4))

    def forward(self, x):
        depth = min(self.passes // 8, 3)
        self.passes += 1
        x = self.stem(x)
        for expert in self.experts[: depth + 1]:
            x = expert(x)
        return self.heads[depth](x)


def test_a_network_that_grows():
    stats = Beside(Growing, "uniform", verify=False).train(epochs=6)
    assert never_dropped(stats) == {"head", *(f"heads.{number}" for number in range(4))}


# ---- two networks that train in turn -------------------------------------------------------------


class Adversarial(nn.Module):
    def __init__(self):
        super().__init__()
        self.make = nn.Sequential(nn.Linear(8, 8), block(), nn.Linear(8, 8))
        self.judge = nn.Sequential(nn.Linear(8, 8), block(), nn.Linear(8, 1))

    def forward(self, noise, real=None):
        made = self.make(noise)
        if real is None:
            return self.judge(made)
        return self.judge(made.detach()), self.judge(real)


def turns(model, makes, judges, toggles, both=True):
    """A step of the judge, and one of the maker; the other's flags are down meanwhile."""
    if toggles:
        model.make.requires_grad_(False)
    made, real = model(torch.randn(4, 8), torch.randn(4, 8))
    (made.sigmoid() - real.sigmoid()).mean().backward()
    judges.step()
    model.zero_grad()
    if toggles:
        model.make.requires_grad_(True)
        model.judge.requires_grad_(False)
    if both:
        (-model(torch.randn(4, 8)).sigmoid().mean()).backward()
        makes.step()
        model.zero_grad()
    model.judge.requires_grad_(True)


def adversaries(strategy, schedule):
    model = Adversarial()
    makes, judges = sgd(model.make), sgd(model.judge)
    chosen = dropping(strategy, 0.3)
    ldb = LayerDropBack(model, [makes, judges], chosen, schedule, verify=True)
    return model, makes, judges, ldb


@pytest.mark.parametrize("schedule", [ALWAYS, Schedule()])
@pytest.mark.parametrize("toggles", [True, False])
def test_adversaries_both_drop(toggles, schedule):
    model, makes, judges, ldb = adversaries("uniform", schedule)
    for epoch in range(2 if schedule == ALWAYS else 4):
        for _ in ldb.epoch(range(12), epoch):
            turns(model, makes, judges, toggles)
    stats = ldb.stats()
    assert never_dropped(stats) == {"make.2", "judge.2"}
    assert stats["drop_steps"] > 20


def test_a_network_that_begins_to_train_later():
    """At first the judge alone: its window ends when both have stepped."""
    model, makes, judges, ldb = adversaries("uniform", ALWAYS)
    for number, _ in enumerate(ldb.epoch(range(40), 0)):
        turns(model, makes, judges, toggles=True, both=number > 6)
    assert never_dropped(ldb.stats()) == {"make.2", "judge.2"}


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_a_controller_for_each_network(strategy):
    model = Adversarial()
    makes, judges = sgd(model.make), sgd(model.judge)
    both = [
        LayerDropBack(part, optimizer, dropping(strategy, 0.3), ALWAYS, verify=True)
        for part, optimizer in ((model.make, makes), (model.judge, judges))
    ]
    for ldb in both:
        ldb.begin_epoch(0)
    for _ in range(15):
        turns(model, makes, judges, toggles=False)
    for ldb in both:
        assert ldb.stats()["drop_steps"] >= 14
        assert sum(ldb.stats()["times_dropped"].values()) > 5
