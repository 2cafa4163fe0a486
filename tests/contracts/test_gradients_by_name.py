"""Loops that take gradients with ``torch.autograd.grad``, and put them together themselves."""

import pytest
import torch
from torch.func import functional_call, grad

from attached import dropped_names, each_but_branch
from by_hand import Beside, heard, plain_passes, skip_net
from layerdropback import AttachError, Schedule, Truncate, Uniform


def net():
    return torch.nn.Sequential(skip_net(), torch.nn.Tanh())


def losses(model):
    """Of two tasks; each is bounded."""
    out = model(torch.randn(4, 8))
    return out[:, :2].square().mean(), (out[:, 2:] - 1).square().mean()


def trainable(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def surgery(model):
    """PCGrad, with a backward pass for each task."""
    gradients = []
    for loss in losses(model):
        model.zero_grad()
        loss.backward(retain_graph=True)
        gradients.append([p.grad for p in model.parameters()])
    for parameter, one, other in zip(model.parameters(), *gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            conflict = (one * other).sum().clamp(max=0)
            parameter.grad = one + other - conflict / other.square().sum().clamp(1e-9) * other


def by_name(model):
    """The same, with gradients by name; those of dropped weights are zero."""
    found = [
        torch.autograd.grad(loss, trainable(model), retain_graph=True) for loss in losses(model)
    ]
    for parameter, one, other in zip(trainable(model), *found, strict=True):
        parameter.grad = one + other


def unused_allowed(model):
    for loss in losses(model):
        found = torch.autograd.grad(loss, trainable(model), retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(trainable(model), found, strict=True):
            if gradient is not None:
                old = parameter.grad
                parameter.grad = gradient if old is None else old + gradient


def given_inputs(model):
    sum(losses(model)).backward(inputs=trainable(model))


def norm_penalty(model):
    """Of the weights' gradients, by a second backward pass."""
    loss = sum(losses(model))
    gradients = torch.autograd.grad(loss, trainable(model), create_graph=True)
    (loss + 0.1 * sum(gradient.square().sum() for gradient in gradients)).backward()


def curvature(model):
    """A product with the Hessian, as in influence functions and power iterations."""
    parameters = trainable(model)
    gradients = torch.autograd.grad(sum(losses(model)), parameters, create_graph=True)
    ones = [torch.ones_like(parameter) for parameter in parameters]
    torch.autograd.grad(gradients, parameters, ones, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.detach()


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize(
    "passes", [surgery, by_name, unused_allowed, given_inputs, norm_penalty, curvature]
)
@pytest.mark.parametrize("strategy", [Uniform(0.5), Truncate(0.4)])
def test_gradients_put_together_by_hand(passes, strategy):
    """`verify` sees that dropped layers stand still and all others have gradients."""
    pair = Beside(net, strategy)
    with heard() as texts:
        assert pair.train_alone(passes)["drop_steps"] == 11 + strategy.foresees
    assert texts == []


@each_but_branch
@pytest.mark.parametrize("passes", [surgery, unused_allowed])
def test_they_are_those_of_layers_frozen_by_hand(passes, strategy):
    assert Beside(net, strategy).train(passes)["drop_steps"] == 9


class Balance:
    """GradNorm: the tasks' weights follow their gradients of one shared weight.

    Args:
        shared: chooses it.
        first: whether the balance comes before the plain ``backward()``.
        often: balances in every so many steps.
    """

    def __init__(self, shared, first=False, often=1):
        self.shared, self.first, self.often = shared, first, often
        self.weights = torch.ones(2, requires_grad=True)
        self.steps = 0

    def __call__(self, model):
        both = losses(model)
        self.steps += 1
        turn = self.steps % self.often == 0
        if self.first and turn:
            self.balance(both, self.shared(model))
        loss = sum(w * loss for w, loss in zip(self.weights.detach(), both, strict=True))
        loss.backward(retain_graph=True)
        if turn and not self.first:
            self.balance(both, self.shared(model))

    def balance(self, both, shared):
        norms = torch.stack(
            [
                torch.autograd.grad(w * loss, shared, retain_graph=True, create_graph=True)[
                    0
                ].norm()
                for w, loss in zip(self.weights, both, strict=True)
            ]
        )
        distance = (norms - norms.mean().detach()).abs().sum()
        (found,) = torch.autograd.grad(distance, self.weights)
        with torch.no_grad():
            self.weights -= 0.01 * found


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shared", ["0.1.inner.2.weight", "0.4.weight", "0.0.weight"])
@pytest.mark.parametrize("strategy", [Uniform(0.5), Truncate(0.4)])
def test_gradnorm_beside_a_plain_backward(shared, first, strategy):
    passes = Balance(lambda model: model.get_parameter(shared), first)
    assert Beside(net, strategy).train_alone(passes)["drop_steps"] == 11 + strategy.foresees


def test_a_loop_that_asks_by_name_from_time_to_time_is_seen_in_a_full_epoch():
    passes = Balance(lambda model: model[0][0].weight, often=4)
    pair = Beside(net, Uniform(0.7), schedule=Schedule())
    assert pair.train_alone(passes, epochs=4)["drop_steps"] == 24


def logged(model):
    """One weight's gradient is looked at, in every step; the real pass comes after it."""
    loss = sum(losses(model))
    torch.autograd.grad(loss, model[0][4].weight, retain_graph=True)
    loss.backward()


def test_a_plain_backward_of_such_a_loop_leaves_dropped_weights_without_a_gradient():
    pair = Beside(net, Uniform(0.5))
    for _ in pair.ldb.epoch(range(8), 0):
        logged(pair.model)
        without = {name for name, p in pair.model.named_parameters() if p.grad is None}
        assert without == dropped_names(pair.ldb)
        pair.optimizers[0][0].step()
        pair.optimizers[0][0].zero_grad()


# ---- inside of a backward pass -------------------------------------------------------------------


class Adjoint(torch.autograd.Function):
    """A neural ODE's: it goes back through time, and asks for gradients by name on its way."""

    @staticmethod
    def forward(ctx, y, slope, steps, *parameters):
        ctx.slope, ctx.steps, ctx.parameters = slope, steps, parameters
        with torch.no_grad():
            for _ in range(steps):
                y = y + 0.1 * slope(y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        total = [torch.zeros_like(parameter) for parameter in ctx.parameters]
        for _ in range(ctx.steps):
            with torch.enable_grad():
                y = y.detach().requires_grad_()
                out = ctx.slope(y)
            found = torch.autograd.grad(out, (y, *ctx.parameters), 0.1 * gradient)
            gradient = gradient + found[0]
            total = [old + new for old, new in zip(total, found[1:], strict=True)]
            y = y - 0.1 * out.detach()
        return gradient, None, None, *total


class Ode(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 3)
        self.slope = torch.nn.Sequential(
            torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8)
        )

    def forward(self, x):
        chosen = [p for p in self.slope.parameters() if p.requires_grad]
        return self.head(torch.tanh(Adjoint.apply(self.stem(x), self.slope, 3, *chosen)))


@pytest.mark.parametrize("strategy", [Uniform(0.5), Truncate(0.2, "uniform")])
def test_an_adjoint_that_chooses_by_requires_grad_is_that_of_layers_frozen_by_hand(strategy):
    assert Beside(Ode, strategy).train(plain_passes)["drop_steps"] == 9


# ---- functions of the weights --------------------------------------------------------------------


def maml(model, create_graph=True):
    """The loss after an inner step, of weights that are tensors made of the parameters."""
    weights = dict(model.named_parameters())
    x = torch.randn(4, 8)
    inner = functional_call(model, weights, (x,)).square().mean()
    gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=create_graph)
    fast = {
        name: weight - 0.1 * gradient
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    functional_call(model, fast, (x,)).square().mean().backward()


@pytest.mark.parametrize("create_graph", [True, False])
def test_maml_is_right_and_told_that_it_saves_nothing(create_graph):
    """The flags are those of the parameters, not of what is made of them."""
    pair = Beside(net, Uniform(0.5), verify=False)
    with heard() as texts:
        stats = pair.train_alone(lambda model: maml(model, create_graph))
    assert stats["drop_steps"] == 11
    (text,) = texts
    assert text.startswith("dropping saves nothing: gradients are computed for dropped")
    assert "torch.func.functional_call" in text


def transformed(model):
    weights = {name: p.detach() for name, p in model.named_parameters()}
    x = torch.randn(4, 8)
    found = grad(lambda given: functional_call(model, given, (x,)).square().mean())(weights)
    for name, parameter in model.named_parameters():
        parameter.grad = found[name]


def test_functions_that_torch_func_transforms_are_told():
    pair = Beside(net, Uniform(0.5))
    with heard() as texts:
        assert pair.train_alone(transformed)["drop_steps"] == 11
    (text,) = texts
    assert "was not called in a drop step" in text
    assert "or calls it through torch.func" in text
    with pytest.raises(AttachError, match="itself was not called in the step that was looked at"):
        Beside(net, Truncate(0.4)).train_alone(transformed)
