"""Promise 7: the learning rate is scaled inside ``optimizer.step()`` and nowhere else."""

import pytest
import torch

from attached import attach, dropping, each_but_branch, sgd, train
from layerdropback import LayerDropBack, Schedule
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


@each_but_branch
@pytest.mark.parametrize("tensor", [False, True])
def test_the_learning_rate_is_scaled_only_inside_the_step(tensor, strategy):
    entry = ZOO["mlp"]
    model = entry.model()
    rate = torch.tensor(0.1) if tensor else 0.1
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.07}]
    groups += [{"params": model[4].parameters()}]
    optimizer = torch.optim.Adam(groups, lr=rate, foreach=False, capturable=False)
    held = [group["lr"] for group in optimizer.param_groups]
    seen_before, seen_inside = [], []

    def note(seen):
        return lambda *_: seen.append([float(group["lr"]) for group in optimizer.param_groups])

    optimizer.register_step_pre_hook(note(seen_before))
    ldb, _ = attach(model, strategy, optimizer, lr_scale=3.0)
    optimizer.register_step_pre_hook(note(seen_inside))
    for epoch in range(2):
        for batch in ldb.epoch(entry.batches(2), epoch):
            entry.backward(model, batch)
            assert [group["lr"] for group in optimizer.param_groups] == held
            optimizer.step()
            assert [group["lr"] for group in optimizer.param_groups] == held
            optimizer.zero_grad()
    user = [float(value) for value in held]
    assert seen_before == [user] * 4
    assert seen_inside[:2] == [user] * 2
    torch.testing.assert_close(torch.tensor(seen_inside[2:]), 3 * torch.tensor([user] * 2))
    now = [group["lr"] for group in optimizer.param_groups]
    assert all(one is other for one, other in zip(now, held, strict=True))


def test_no_factor_is_the_default():
    """It was 2 once; the authors' factor is in their presets."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    inside = []
    optimizer.register_step_pre_hook(lambda *_: inside.append(optimizer.param_groups[0]["lr"]))
    entry.train(ldb, model, optimizer, range(2), steps=2)
    assert ldb.stats()["drop_steps"] == 2
    assert inside == [0.1] * 4


@pytest.mark.parametrize("strategy", ["uniform", "truncate"])
def test_inverse_factor_averages_over_what_can_drop(strategy):
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, dropping(strategy, 0.6), lr_scale="inverse")
    train(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        assert ldb.stats()["lr_factor"] == pytest.approx(1 / (1 - 0.6))


SCHEDULERS = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=30),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    "chained": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
            torch.optim.lr_scheduler.CosineAnnealingLR(o, 16),
        ],
        [4],
    ),
}


def rates_of(name, scheduler_first, attached):
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = sgd(model)
    scheduler = SCHEDULERS[name](optimizer) if scheduler_first else None
    ldb = LayerDropBack(model, optimizer, lr_scale=1.7) if attached else None
    scheduler = scheduler or SCHEDULERS[name](optimizer)
    seen = []
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(5), epoch) if ldb else entry.batches(5):
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
    if ldb:
        ldb.detach()
    return seen


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")  # torch's, up to 2.8
@pytest.mark.parametrize("scheduler_first", [True, False])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_any_scheduler_sees_and_writes_its_own_values(name, scheduler_first):
    assert rates_of(name, scheduler_first, True) == rates_of(name, scheduler_first, False)


@pytest.mark.parametrize("with_scheduler", [True, False])
def test_the_learning_rate_is_put_back_when_the_step_raises(with_scheduler):
    entry = ZOO["mlp"]
    model = entry.model()
    rate = 0.1 / 3
    ldb, optimizer = attach(model, optimizer=sgd(model, lr=rate), lr_scale=1.1)
    if with_scheduler:
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    train(entry, model, ldb, optimizer)

    def closure():
        assert optimizer.param_groups[0]["lr"] != rate
        raise KeyError("out of luck")

    for batch in ldb.epoch(entry.batches(2), 1):
        entry.backward(model, batch)
        mask = ldb.mask
        with pytest.raises(KeyError, match="out of luck"):
            optimizer.step(closure)
        assert optimizer.param_groups[0]["lr"] == rate
        assert (ldb.mask == mask).all(), "the step was not made, so its mask stays"
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == rate
        optimizer.zero_grad()
    assert ldb.stats()["drop_steps"] == 2


class Decaying(torch.optim.SGD):
    """Lets its own rate decay inside of its step, as timm's older optimizers do."""

    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            group["lr"] = group["lr"] * 0.5


class Writing(torch.optim.SGD):
    """Sets its own rate inside of its step, as D-Adaptation does."""

    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            group["lr"] = 0.07


@pytest.mark.parametrize(("kind", "expected"), [(Decaying, 0.1 * 0.5**3), (Writing, 0.07)])
def test_what_the_optimizer_writes_to_its_rate_is_kept(kind, expected):
    entry = ZOO["mlp"]
    model = entry.model()
    optimizer = kind(model.parameters(), lr=0.1)
    ldb, _ = attach(model, optimizer=optimizer, schedule=ALWAYS, lr_scale=2.0)
    train(entry, model, ldb, optimizer, steps=3)
    assert ldb.stats()["drop_steps"] == 2
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_a_rate_that_was_loaded_between_steps_is_kept():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, schedule=ALWAYS, lr_scale=2.0)
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.03
    for batch in ldb.epoch(entry.batches(3), 0):
        entry.backward(model, batch)
        optimizer.load_state_dict(saved)
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == 0.03
