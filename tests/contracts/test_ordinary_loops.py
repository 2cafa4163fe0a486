"""Promise 12, its other half: loops in which all is well hear nothing."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from by_hand import CLASSES, block, loss_of, skip_net
from layerdropback import Schedule, Uniform
from watched_loops import Loop, halves, plain, sgd


def accumulated(count):
    def body(loop):
        loop.passes()
        if loop.number % count == 0:
            loop.step()

    return body


def clamped(loop):
    """As in Wasserstein GANs, after the step."""
    plain(loop)
    with torch.no_grad():
        for parameter in loop.model.parameters():
            parameter.clamp_(-0.1, 0.1)


def normed(loop):
    """Of the weights, before each of several passes."""
    for _ in range(4):
        with torch.no_grad():
            loop.model[0].weight.div_(loop.model[0].weight.norm())
        loop.passes()
    loop.step()


def averaged(loop):
    average = loop.more.setdefault("average", copy.deepcopy(loop.model))
    plain(loop)
    with torch.no_grad():
        for mean, parameter in zip(average.parameters(), loop.model.parameters(), strict=True):
            mean.lerp_(parameter, 0.1)


def exchanged(loop):
    """Other weights for an evaluation, and back."""
    plain(loop)
    own = copy.deepcopy(loop.model.state_dict())
    with torch.no_grad():
        for parameter in loop.model.parameters():
            parameter.mul_(0.9)
        loop.model(torch.randn(4, 8))
    loop.model.load_state_dict(own)


def scaled(loop):
    """With steps that are skipped, the first ones too."""
    scaler = loop.more.setdefault("scaler", torch.amp.GradScaler("cpu", init_scale=1024.0))
    loss = loss_of(loop.model(torch.randn(4, 8)))
    overflows = loop.number in (1, 2, 3, 20, 21)
    scaler.scale(loss * float("inf") if overflows else loss).backward()
    scaler.unscale_(loop.optimizer)
    nn.utils.clip_grad_norm_(loop.model.parameters(), 1.0)
    scaler.step(loop.optimizer)
    scaler.update()
    loop.optimizer.zero_grad()


def skipped(loop):
    """Most batches are thrown away."""
    loop.passes()
    if loop.number % 8 == 0:
        loop.step()
    loop.model.zero_grad()


def in_turn(loop):
    loop.passes()
    loop.optimizers[loop.number % 2].step()
    loop.model.zero_grad()


def penalised(loop):
    """The gradient's norm, with respect to the input."""
    x = torch.randn(4, 8, requires_grad=True)
    out = torch.tanh(loop.model(x))
    (found,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    (out.mean() + (found.norm(dim=1) - 1).square().mean()).backward()
    loop.step()


def adversarial(loop):
    x = torch.randn(4, 8)
    for _ in range(5):
        x = x.detach().requires_grad_()
        (found,) = torch.autograd.grad(loss_of(loop.model(x)), x)
        x = x + 0.01 * found.sign()
    loss_of(loop.model(x.detach())).backward()
    loop.step()


def evaluated(loop):
    """With gradients on, by mistake."""
    plain(loop)
    loop.model.eval()
    for _ in range(6):
        loop.model(torch.randn(4, 8))
    loop.model.train()


def inferred(loop):
    """Between the passes, too."""
    loss = loss_of(loop.model(torch.randn(4, 8)))
    for action in (loss.backward, loop.step):
        with torch.inference_mode():
            loop.model(torch.randn(4, 8))
        action()


def in_threads(loop):
    """A new one for each pass."""
    losses = []
    for action in (
        lambda: losses.append(loss_of(loop.model(torch.randn(4, 8)))),
        lambda: losses.pop().backward(),
    ):
        thread = threading.Thread(target=action)
        thread.start()
        thread.join()
    loop.step()


def with_anomalies(loop):
    """As a loop is debugged."""
    with torch.autograd.set_detect_anomaly(True):
        plain(loop)


def by_closure(loop):
    def closure():
        loop.optimizer.zero_grad()
        loss = loss_of(loop.model(torch.randn(4, 8)))
        loss.backward()
        return loss

    loop.optimizer.step(closure)


def many_views(loop):
    (sum(loss_of(loop.model(torch.randn(4, 8))) for _ in range(10)) / 10).backward()
    loop.step()


ORDINARY = {
    "plain": plain,
    "accumulation of 16": accumulated(16),
    "accumulation of 5": accumulated(5),
    "clamp": clamped,
    "norm": normed,
    "average": averaged,
    "exchange": exchanged,
    "scaler": scaled,
    "skips": skipped,
    "gradient penalty": penalised,
    "adversarial": adversarial,
    "evaluation": evaluated,
    "inference": inferred,
    "threads": in_threads,
    "anomalies": with_anomalies,
    "closure": by_closure,
    "views": many_views,
}


@pytest.mark.in_turn("strategy")
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_loops_hear_nothing(name, strategy):
    assert Loop(strategy=strategy).train(ORDINARY[name], steps=20) == []


def normed_net():
    norm = parametrizations.weight_norm
    return nn.Sequential(norm(nn.Linear(8, 8)), block(), block(), norm(nn.Linear(8, CLASSES)))


class Words(nn.Module):
    """Renorms its embeddings in each pass, in place."""

    def __init__(self):
        super().__init__()
        self.words, self.net = nn.Embedding(11, 8, max_norm=0.5), skip_net()

    def forward(self, x):
        return self.net(self.words((x.abs() * 10).long() % 11).mean(1))


@pytest.mark.parametrize(
    ("settings", "body"),
    [
        ({"make": normed_net}, plain),
        ({"make": Words}, accumulated(5)),
        ({"optimizers": halves}, plain),
        ({"optimizers": halves}, in_turn),
        ({"schedule": Schedule()}, plain),
        ({"optimizers": lambda loop: [sgd(loop.model.parameters(), foreach=False)]}, plain),
        (
            {"optimizers": lambda loop: [torch.optim.AdamW(loop.model.parameters(), fused=True)]},
            plain,
        ),
    ],
)
def test_so_do_other_models_and_optimizers(settings, body):
    assert Loop(strategy=Uniform(0.5), **settings).train(body) == []
