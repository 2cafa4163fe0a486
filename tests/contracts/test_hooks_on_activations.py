"""Models and loops that ask for the gradient of an activation: some layer before it is kept."""

import pytest
import torch
from torch import nn

from attached import each_strategy
from by_hand import CLASSES, Beside, block, heard, loss_of, never_dropped, plain_passes
from layerdropback import Truncate, Uniform


class Asking(nn.Module):
    """Four blocks, and the activation after the second, of which something is wanted.

    Args:
        ask: called with that activation, in forward passes of the numbers that `often` divides.
    """

    def __init__(self, ask, often=1):
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)
        self.blocks = nn.Sequential(block(), block(), block(), block())
        self.ask, self.often, self.calls = ask, often, 0

    def forward(self, x):
        self.calls += 1
        x = self.stem(x)
        for number, inner in enumerate(self.blocks):
            x = inner(x)
            if number == 1 and self.calls % self.often == 0:
                changed = self.ask(x)
                x = x if changed is None else changed
        return self.head(x)


def hook(x):
    x.register_hook(lambda gradient: None)


def retain(x):
    x.retain_grad()


def scale(x):
    x.register_hook(lambda gradient: 2 * gradient)


def energy(x):
    """A step towards a lower energy; its gradient has a gradient."""
    (found,) = torch.autograd.grad(x.square().sum(), x, create_graph=True)
    return x - 0.01 * found


@each_strategy
@pytest.mark.parametrize("ask", [hook, retain, scale, energy])
def test_a_layer_before_it_is_kept(ask, strategy):
    pair = Beside(lambda: Asking(ask), strategy if strategy != "truncate" else Truncate(0.3))
    with heard() as texts:
        stats = pair.train_alone(steps=25)
    assert stats["drop_steps"] == 24 + (strategy == "truncate")
    assert "blocks.1.inner.2" in never_dropped(stats)
    assert sum(stats["times_dropped"].values()) > 20
    assert texts == []


def by_hook(where, what):
    """A model whose hooks ask, as those of Grad-CAM and Captum do."""

    def make():
        model = Asking(lambda x: None)
        module = model.get_submodule(where)
        if what == "input":
            module.register_forward_pre_hook(lambda m, args: retain(args[0]))
        elif what == "output":
            module.register_forward_hook(lambda m, args, out: retain(out))
        else:
            module.register_forward_hook(
                lambda m, args, out: hook(out) if out.requires_grad else None
            )
        return model

    return make


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize(
    ("where", "what", "kept"),
    [
        ("blocks.2", "output", "blocks.2.inner.2"),
        ("blocks.2", "input", "blocks.1.inner.2"),
        ("blocks.0.inner.1", "output", "blocks.0.inner.0"),
    ],
)
@pytest.mark.parametrize("strategy", [Uniform(0.5), Truncate(0.1)])
def test_hooks_that_are_set_by_hooks_of_modules(where, what, kept, strategy):
    stats = Beside(by_hook(where, what), strategy).train_alone(steps=25)
    assert stats["drop_steps"] == 24 + strategy.foresees
    assert kept in never_dropped(stats)


def test_hooks_that_are_set_only_where_they_can_be_keep_nothing():
    stats = Beside(by_hook("blocks.2", "output, if it can"), Uniform(0.5)).train_alone(steps=25)
    assert "blocks.2.inner.2" not in never_dropped(stats)


@pytest.mark.parametrize("kind", ["register_full_backward_hook", "register_full_backward_pre_hook"])
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_backward_hooks_of_modules_ask_for_nothing(kind, strategy):
    def make():
        model = Asking(lambda x: None)
        getattr(model.blocks[1], kind)(lambda module, *gradients: None)
        return model

    with heard() as texts:  # torch's own, where no input of the module requires a gradient
        stats = Beside(make, strategy).train_alone(steps=25)
    assert stats["drop_steps"] == 24
    assert not [text for text in texts if "Full backward hook" not in text]


# ---- what comes too late to be seen --------------------------------------------------------------


def node_hook(x):
    """Through the graph's node, which an activation that requires no gradient has not."""
    x.grad_fn.register_hook(lambda inputs, outputs: None)


def demand(x):
    assert x.requires_grad, "the activation must require a gradient"


@pytest.mark.parametrize(
    ("ask", "often", "text"),
    [
        (hook, 7, "cannot register a hook on a tensor that doesn't require gradient"),
        (retain, 7, "can't retain_grad on Tensor that has requires_grad=False"),
        (node_hook, 1, "'NoneType' object has no attribute 'register_hook'"),
        (demand, 1, "the activation must require a gradient"),
    ],
)
def test_an_error_carries_a_note_with_cause_and_cure(ask, often, text):
    pair = Beside(lambda: Asking(ask, often), Truncate(0.6))
    with pytest.raises((RuntimeError, AttributeError, AssertionError), match=text) as error:
        pair.train_alone(steps=10)
    (note,) = error.value.__notes__
    assert note.startswith("LayerDropBack dropped 'stem', 'blocks.0.inner.0'")
    assert "Cause: an activation with nothing but dropped layers before it requires no" in note
    assert "Cure: ask for it only where tensor.requires_grad is True" in note
    assert all(parameter.requires_grad for parameter in pair.model.parameters())


def test_other_errors_carry_no_note():
    def fail(x):
        if not x.requires_grad:
            raise ValueError("no batch of this size")

    pair = Beside(lambda: Asking(fail), Truncate(0.6))
    with pytest.raises(ValueError, match="no batch of this size") as error:
        pair.train_alone(steps=10)
    assert not hasattr(error.value, "__notes__")


# ---- outside of the model ------------------------------------------------------------------------


class Features(Asking):
    """Gives every block's output, too."""

    def __init__(self):
        super().__init__(None)

    def forward(self, x):
        features = [self.stem(x)]
        for inner in self.blocks:
            features.append(inner(features[-1]))
        return self.head(features[-1]), features[1:]


def outside(ask):
    def passes(model):
        logits, features = model(torch.randn(4, 8))
        loss = ask(loss_of(logits), features[1])
        loss.backward()

    return passes


def retained(loss, feature):
    feature.retain_grad()
    return loss


def hooked(loss, feature):
    feature.register_hook(lambda gradient: None)
    return loss


def asked(loss, feature):
    """As GradNorm of a shared representation."""
    torch.autograd.grad(loss, feature, retain_graph=True)
    return loss


def guided(loss, feature):
    (found,) = torch.autograd.grad(loss, feature, create_graph=True)
    return loss + found.square().sum()


def apart(loss, feature):
    """A backward pass of its own for the feature's loss."""
    feature.square().mean().backward(retain_graph=True)
    return loss


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize("ask", [retained, hooked, asked, guided, apart])
@pytest.mark.parametrize("strategy", [Uniform(0.6), Truncate(0.3)])
def test_outputs_whose_gradient_the_loop_asks_for(ask, strategy):
    pair = Beside(Features, strategy)
    stats = pair.train_alone(outside(ask), steps=25)
    assert stats["drop_steps"] == 24 + strategy.foresees
    assert "blocks.1.inner.2" in never_dropped(stats)


def test_outputs_on_the_way_that_nobody_asks_for_keep_nothing():
    stats = Beside(Features, Uniform(0.5)).train_alone(
        outside(lambda loss, feature: loss + 0.1 * feature.mean()), steps=25
    )
    assert never_dropped(stats) == {"head"}


def test_a_model_that_asks_for_nothing_hears_nothing():
    stats = Beside(lambda: Asking(lambda x: None), "uniform").train(plain_passes, epochs=2)
    assert stats["drop_steps"] == 19
