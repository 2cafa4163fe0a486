"""Promise 12, where the loop calls parts of a model: each such call is a forward pass."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from attached import dropped_names, each_but_branch
from by_hand import Beside, block, heard, loss_of, never_dropped, skip_net
from layerdropback import Truncate, Uniform

HALVES = Truncate(0.4, "uniform")


class TwoParts(nn.Module):
    """An encoder that the loop calls, a head, and a loss that is a module as well."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.encoder = skip_net()[:-1]
        self.heads = nn.ModuleDict({"labels": nn.Linear(8, 3)})
        self.loss = nn.CrossEntropyLoss(reduction=reduction)

    def forward(self, x):
        raise AssertionError("nobody calls it")


def by_parts(model):
    features = model.encoder(torch.randn(4, 8)).tanh()  # what is between is nobody's
    logits = model.heads["labels"](features)
    model.loss(logits, torch.randint(3, (4,))).sum().backward()


@each_but_branch
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_an_encoder_and_a_head_that_are_called_one_after_the_other(strategy, reduction):
    pair = Beside(lambda: TwoParts(reduction), strategy)
    with heard() as texts:
        stats = pair.train(by_parts, steps=15)
    assert not texts
    assert stats["drop_steps"] == 14
    assert stats["share_dropped"] > 0.1
    assert "heads.labels" in never_dropped(stats)
    assert {name.partition(".")[0] for name, n in stats["times_dropped"].items() if n} == {
        "encoder"
    }


def test_branches_of_a_part_are_dropped():
    pair = Beside(TwoParts, "branch")
    stats = pair.train_alone(by_parts)
    assert stats["share_dropped"] > 0.1
    blocks = {f"encoder.{number}.inner.{layer}" for number in (1, 2, 3) for layer in (0, 2)}
    assert {name for name, times in stats["times_dropped"].items() if times} == blocks


def test_nothing_is_computed_below_a_cut_in_an_earlier_part():
    pair = Beside(TwoParts, Truncate(0.5))
    pair.train_alone(by_parts, steps=3)
    wanting = {}

    def note(module, args, output, name):
        wanting[name] = output.requires_grad

    for name, module in pair.model.encoder.named_children():
        module.register_forward_hook(partial(note, name=name))
    batches = iter(pair.ldb.epoch(range(4), 1))
    next(batches)
    by_parts(pair.model)
    assert dropped_names(pair.ldb) >= {"encoder.0.weight", "encoder.1.inner.0.weight"}
    assert wanting == {"0": False, "1": False, "2": True, "3": True}


@pytest.mark.parametrize("strategy", [Uniform(0.5), HALVES], ids=["uniform", "truncate"])
def test_the_modules_of_a_sequential_one_by_one(strategy):
    def passes(model):
        x = torch.randn(4, 8)
        for module in model:
            x = module(x)
        loss_of(x).backward()

    stats = Beside(skip_net, strategy).train(passes, steps=15)
    assert stats["drop_steps"] == 14
    assert stats["share_dropped"] > 0.1


def test_the_model_in_one_step_and_a_part_in_the_next():
    def passes(model):
        passes.calls += 1
        x = torch.randn(4, 8)
        out = model(x) if passes.calls % 4 < 2 else model[-1](model[:-1](x))
        loss_of(out).backward()

    passes.calls = 0

    def make():
        net = skip_net()
        return nn.Sequential(net[:-1], net[-1])

    pair = Beside(make, "uniform")
    with heard() as texts:
        assert pair.train_alone(passes)["drop_steps"] == 11
    assert all("was not called" in text or "gradients came to" in text for text in texts)


def test_an_error_within_a_part_is_the_users():
    """Torch's own way of calling hooks after an error fails where they change meanwhile."""

    class Fails(nn.Linear):
        def forward(self, x):
            if self.fails:
                raise LookupError("of the user's")
            return super().forward(x)

    def make():
        model = TwoParts()
        model.encoder.append(Fails(8, 8))
        return model

    Fails.fails = False
    pair = Beside(make, Truncate(0.3))
    for fails in (True, False, True, False):  # before the order is known, and after
        Fails.fails = fails
        if fails:
            with pytest.raises(LookupError, match="of the user's"):
                pair.train_alone(by_parts, steps=1)
        else:
            pair.train_alone(by_parts, steps=2)
    assert pair.ldb.stats()["drop_steps"] == 4


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 8), block(), nn.Linear(8, 8))
        self.discriminator = nn.Sequential(nn.Linear(8, 8), block(), nn.Linear(8, 1))


def both(model):
    return [
        torch.optim.SGD(part.parameters(), lr=0.05)
        for part in (model.generator, model.discriminator)
    ]


def gan_passes(model):
    """Both steps in one, so that a twin can be frozen by hand: gradients of D from G are kept."""
    real, noise = torch.randn(4, 8), torch.randn(4, 4)
    fake = model.generator(noise)
    wrong = model.discriminator(fake.detach()).exp().mean() - model.discriminator(real).mean()
    (wrong - model.discriminator(fake).mean()).backward()


@pytest.mark.parametrize(
    "strategy", [Uniform(0.5), Truncate(0.15, "uniform")], ids=["uniform", "truncate"]
)
def test_two_networks_in_one_module(strategy):
    stats = Beside(Gan, strategy, optimizers=both).train(gan_passes, steps=15)
    assert stats["drop_steps"] == 14
    assert {"generator.2", "discriminator.2"} <= set(never_dropped(stats))
    assert stats["share_dropped"] > 0.05


def test_the_hooks_on_parts_go_when_the_model_itself_is_called():
    pair = Beside(skip_net, "uniform")
    hooked = [len(part._forward_pre_hooks) for part in pair.model]
    assert hooked == [1] * len(pair.model)
    pair.train(steps=2)
    assert not any(part._forward_pre_hooks for part in pair.model)
    assert not any(copy.deepcopy(part)._forward_hooks for part in pair.model)


def test_they_go_too_where_steps_are_counted_by_hand():
    pair = Beside(skip_net, "uniform")
    for _ in pair.ldb.epoch(range(3), 0):
        loss_of(pair.model(torch.randn(4, 8))).backward()
        pair.ldb.redraw()
        assert not pair.ldb._engine.passes.parts.made, "what a window made is forgotten"
    assert not any(part._forward_pre_hooks for part in pair.model)


def test_the_hooks_on_parts_go_when_it_is_detached():
    pair = Beside(TwoParts, "uniform")
    pair.train(by_parts, steps=3)
    parts = [pair.model.encoder, pair.model.heads["labels"]]
    assert all(part._forward_pre_hooks for part in parts)
    assert not copy.deepcopy(pair.model).encoder._forward_pre_hooks
    pair.ldb.detach()
    assert not any(part._forward_pre_hooks or part._forward_hooks for part in parts)


def deeper(model):
    """Parts of parts; the library does not look for these."""
    x = torch.randn(4, 8)
    for module in (*model.encoder, model.heads["labels"]):
        x = module(x)
    loss_of(x).backward()


def test_calls_that_are_not_seen_are_told():
    with heard() as texts:
        Beside(TwoParts, "uniform").train_alone(lambda m: deeper(m) if m.training else None)
    assert any("gradients came to dropped" in text or "was not called" in text for text in texts)
