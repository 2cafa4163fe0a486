"""What is put around an optimizer, and closures that make the passes inside of the step."""

import numpy as np
import pytest
import torch
from timm.optim import Lookahead

from attached import attach, sgd
from by_hand import ALWAYS, Beside, heard, loss_of, skip_net
from layerdropback import AttachError, LayerDropBack, Uniform
from wrapped_optimizers import Accelerated

WRAPPED = {
    "lookahead": lambda optimizer: Lookahead(optimizer, k=3),
    "twice": lambda optimizer: Accelerated(Accelerated(optimizer)),
    "both": lambda optimizer: Accelerated(Lookahead(optimizer, k=3)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_inside_a_wrapper_is_found(name):
    pair = Beside(skip_net, "uniform", lambda model: [WRAPPED[name](sgd(model))])
    assert pair.train()["drop_steps"] == 9


class Warmup:
    """A loop's own schedule, which steps for the optimizer; no optimizer by type."""

    def __init__(self, optimizer):
        self._optimizer, self.steps = optimizer, 0

    def step(self):
        self.steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = 0.1 / self.steps
        self._optimizer.step()

    def zero_grad(self):
        self._optimizer.zero_grad()


def test_a_rate_that_a_wrapper_writes_before_each_step_is_kept():
    pair = Beside(skip_net, "uniform", lambda model: [Warmup(sgd(model))])
    assert pair.train()["drop_steps"] == 9
    assert pair.optimizers[0][0]._optimizer.param_groups[0]["lr"] == 0.01


class Several:
    """Keeps some optimizers, and is none."""

    def __init__(self, *optimizers):
        self.optimizers = list(optimizers)


def test_a_wrapper_of_several_is_refused_with_the_cure():
    model = skip_net()
    text = r"optimizer is a Several\. .* Cure: pass the torch optimizer inside it, or a list of"
    with pytest.raises(AttachError, match=text):
        LayerDropBack(model, Several(sgd(model)))


# ---- closures ------------------------------------------------------------------------------------


def unmoved(model, ldb, step):
    """Make a step; whether each layer that was dropped stood still, and how many these were."""
    mask = ldb.mask
    before = {id(p): p.detach().clone() for p in model.parameters()}
    step()
    dropped = [ldb.layers[i] for i in np.flatnonzero(() if mask is None else mask)]
    assert all(torch.equal(before[id(p)], p) for layer in dropped for p in layer.parameters)
    return len(dropped)


class SharpSGD(torch.optim.SGD):
    """Sharpness-aware minimisation, with both passes inside of ``step(closure)``."""

    @torch.no_grad()
    def step(self, closure):
        closure = torch.enable_grad()(closure)
        closure()
        parameters = [p for p in self.param_groups[0]["params"] if p.grad is not None]
        moves = [0.05 * parameter.grad for parameter in parameters]
        torch._foreach_add_(parameters, moves)
        closure()
        torch._foreach_sub_(parameters, moves)
        super().step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, SharpSGD])
@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_a_closure_as_lightning_has_it(kind, by_name, strategy):
    """Zeroing, forward and backward pass are inside of the step, after its pre hook."""
    model = skip_net()
    optimizer = kind(model.parameters(), lr=0.1, momentum=0.9)
    ldb, _ = attach(model, strategy, optimizer, schedule=ALWAYS)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model(torch.randn(4, 8)))
        loss.backward()
        return loss

    def step():
        optimizer.step(closure=closure) if by_name else optimizer.step(closure)

    assert sum(unmoved(model, ldb, step) for _ in ldb.epoch(range(8), 0)) > 10


def test_a_penalty_inside_of_a_closure_moves_nothing_that_is_dropped():
    """Its gradients come to dropped weights after the step's pre hook."""
    model = skip_net()
    ldb, optimizer = attach(model, schedule=ALWAYS)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model(torch.randn(4, 8)))
        loss = loss + 1e-3 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        return loss

    with heard() as texts:
        for _ in ldb.epoch(range(20), 0):
            unmoved(model, ldb, lambda: optimizer.step(closure))
    assert [text.partition(" ")[0] for text in texts] == ["gradients"]
    assert "a penalty alone does no harm" in texts[0]


def test_flags_that_change_before_a_closure_choose_the_mask_of_its_step():
    model = skip_net()
    ldb, optimizer = attach(model, Uniform(0.9), schedule=ALWAYS)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model(torch.randn(4, 8)))
        loss.backward()
        return loss

    for number, _ in enumerate(ldb.epoch(range(8), 0)):
        model[-1].requires_grad_(number % 2 == 0)  # then the layer before it is kept
        optimizer.step(closure)
    assert ldb.stats()["drop_steps"] == 7


def test_an_error_in_the_recorded_closure_comes_before_a_weight_moves():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 3))
    ldb, optimizer = attach(model, "branch", schedule=ALWAYS)
    before = [p.detach().clone() for p in model.parameters()]

    def closure():
        loss = loss_of(model(torch.randn(4, 8)))
        loss.backward()
        return loss

    with pytest.raises(AttachError, match="has no residual branch"), ldb.epoch(None, 0):
        optimizer.step(closure)
    assert all(map(torch.equal, before, model.parameters()))


def test_optimizers_that_step_within_backward_are_told():
    """One for each parameter, as in LOMO: no step uses a mask of all layers."""
    model = skip_net()
    optimizers = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    ldb = LayerDropBack(model, list(optimizers.values()), schedule=ALWAYS)
    with heard() as texts:
        for _ in ldb.epoch(range(10), 0):
            loss_of(model(torch.randn(4, 8))).backward()
    assert [text.partition(",")[0] for text in texts] == ["no layer can be dropped in drop epoch 0"]
