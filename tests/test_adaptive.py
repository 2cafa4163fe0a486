"""The adaptive policy: it finds out which gradients are noise, and cuts those layers off more."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from layerdropback import AttachError, LayerDropBack, StateError, find_layers
from layerdropback.signals import Signals, worth_shares
from zoo import ZOO


def sgd(model, lr=0.05):
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9)


def attach(model, drop_rate=0.3, **settings):
    optimizer = sgd(model)
    settings = {"strategy": "adaptive", "every": 1, "verify": True} | settings
    return LayerDropBack(model, optimizer, drop_rate, **settings), optimizer


# ---- signal against noise ------------------------------------------------------------------------


def watch(signal, noise, looks=200, numel=4000, normalised=False):
    layer = nn.Linear(numel, 1, bias=False)
    signals = Signals(find_layers(layer), normalised)
    direction = torch.randn(1, numel)
    for _ in range(looks):
        layer.weight.grad = signal * direction + noise * torch.randn(1, numel)
        signals.look()
    return float(signals.worth()[0]) / numel


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 0.0), (1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_worth_is_the_power_of_the_signal(signal, noise):
    # 256 entries of one direction, and an average over about 19 looks: a quarter at three sigmas.
    assert watch(signal, noise) == pytest.approx(signal**2, rel=0.35, abs=0.2)


def test_pure_noise_is_worth_next_to_nothing():
    assert watch(0.0, 1.0) < 0.05


def test_worth_holds_after_a_few_looks_too():
    assert watch(1.0, 0.1, looks=2) == pytest.approx(1.0, rel=0.4)
    assert watch(1.0, 0.1, looks=1) == 0.0  # one look cannot tell signal from noise


def test_for_adam_it_is_relative_to_the_gradients_size():
    for size in (0.01, 100.0):
        plain, normalised = watch(size, 0.0), watch(size, 0.0, normalised=True)
        assert plain == pytest.approx(size**2, rel=0.4)
        assert normalised == pytest.approx(size, rel=0.4)


def test_an_overflow_does_not_stay():
    layer = nn.Linear(4, 1, bias=False)
    signals = Signals(find_layers(layer), normalised=False)
    for value in (1.0, float("inf"), float("nan"), 1.0):
        layer.weight.grad = torch.full((1, 4), value)
        signals.look()
    assert np.isfinite(signals.worth()).all()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=10), st.randoms())
def test_shares_rise_to_one_and_stay_within_twice_the_costs(values, random):
    names = [f"layer {i}" for i in range(len(values))]
    costs = np.cumsum([random.random() + 0.01 for _ in values])
    cost_shares = dict(zip(names, (costs / costs[-1]).tolist(), strict=True))
    shares = list(worth_shares(np.array(values), cost_shares, names).values())
    assert all(b >= a for a, b in itertools.pairwise(shares))
    assert shares[-1] == pytest.approx(1)
    for share, cost in zip(shares, cost_shares.values(), strict=True):
        assert share >= cost / 2 - 1e-9


# ---- in training ---------------------------------------------------------------------------------


class Noisy(nn.Module):
    """Early layers whose gradients are noise, or not, before others that learn."""

    def __init__(self, noisy):
        super().__init__()
        self.early = nn.Sequential(*(nn.Linear(16, 16) for _ in range(3)))
        self.late = nn.Sequential(*(nn.Linear(16, 16) for _ in range(3)))
        self.head = nn.Linear(16, 4)
        self.noisy = noisy

    def forward(self, x):
        x = self.early(x)
        if x.requires_grad:  # what the early layers get is large, and noise or not
            x.register_hook(self.gradient)
        return self.head(self.late(x))

    def gradient(self, gradient):
        return 5 * (gradient.std() * torch.randn_like(gradient) if self.noisy else gradient)


def mean_cut(noisy):
    torch.manual_seed(0)
    model = Noisy(noisy)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    ldb = LayerDropBack(model, optimizer, 0.3, strategy="adaptive", every=1, seed=1)
    x, y = torch.randn(32, 16), torch.randint(4, (32,))
    dropped = []
    for epoch in range(5):
        for _ in ldb.epoch(range(40), epoch):
            nn.functional.cross_entropy(model(x), y).backward()
            dropped.append(0 if ldb.mask is None else int(ldb.mask.sum()))
            optimizer.step()
            optimizer.zero_grad()
    return np.mean(dropped[80:])


def test_layers_whose_gradients_are_noise_are_cut_off_more():
    assert mean_cut(noisy=True) > mean_cut(noisy=False) + 0.5


@pytest.mark.parametrize("name", ["resnet", "vit", "densenet", "beit", "attention"])
def test_it_trains_and_cuts_the_layers_used_first(name):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model)
    entry.train(ldb, model, optimizer, range(4))
    plan = ldb._stepper.plan
    cuts = plan.candidates(plan.heads(), 0.5).odds.cuts
    for batch in ldb.epoch(entry.batches(8), 4):
        mask = ldb.mask
        assert set(np.flatnonzero(mask)) == set(cuts.layers[: int(mask.sum())])
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    assert ldb.stats()["drop_steps"] == 32


def test_looking_changes_nothing():
    """The same masks by hand: weights are bit for bit those of plain truncation with them."""
    entry = ZOO["vit"]
    one, other = entry.model(), entry.model()
    ldb, optimizer = attach(one, resample="epoch")
    twin_optimizer = sgd(other)
    for epoch in range(4):
        for batch in ldb.epoch(entry.batches(6), epoch):
            mask = ldb.mask if ldb.mask is not None else np.zeros(len(ldb.layers), bool)
            names = {n for i in np.flatnonzero(mask) for n in ldb.layers[i].parameter_names}
            flags = dict(other.named_parameters())
            for key, parameter in flags.items():
                parameter.requires_grad = key not in names
            entry.backward(one, batch)
            entry.backward(other, batch)
            twin_optimizer.param_groups[0]["lr"] = 0.05 * (2 if ldb.mask is not None else 1)
            optimizer.step()
            twin_optimizer.step()
            optimizer.zero_grad()
            twin_optimizer.zero_grad()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_resumed_run_goes_on_bit_for_bit():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    entry.train(ldb, model, optimizer, range(3))
    saved = copy.deepcopy((ldb.state_dict(), model.state_dict(), optimizer.state_dict()))
    expected = entry.train(ldb, model, optimizer, range(3, 7))
    again = entry.model()
    other, other_optimizer = attach(again)
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    other_optimizer.load_state_dict(saved[2])
    assert entry.train(other, again, other_optimizer, range(3, 7)) == expected
    for mine, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert any(mask and any(mask) for mask in expected)


def test_a_run_resumed_inside_an_epoch_goes_by_what_was_weighed_at_its_start():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    entry.train(ldb, model, optimizer, range(3))
    whole = []
    for number, batch in enumerate(ldb.epoch(entry.batches(12), 3)):
        if number == 5:
            saved = copy.deepcopy((ldb.state_dict(), model.state_dict(), optimizer.state_dict()))
        whole.append(ldb.mask.tolist())
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    again = entry.model()
    other, other_optimizer = attach(again)
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    other_optimizer.load_state_dict(saved[2])
    rest = []
    for batch in other.epoch(entry.batches(12)[5:], 3):
        rest.append(other.mask.tolist())
        entry.backward(again, batch)
        other_optimizer.step()
        other_optimizer.zero_grad()
    assert rest == whole[5:]
    assert other.state_dict()["shares"] == ldb.state_dict()["shares"]


@pytest.mark.parametrize(
    "signals",
    [
        "x",
        {"looks": [1], "mean": {}, "square": {}},
        {"looks": "x", "mean": {}, "square": {}},
        {"looks": None, "mean": {99: torch.ones(1)}, "square": {99: torch.ones(1)}},
    ],
)
def test_damaged_signals_are_refused(signals):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model)
    entry.train(ldb, model, optimizer, range(1))
    state = ldb.state_dict()
    if isinstance(signals, dict) and signals["looks"] is None:
        signals = signals | {"looks": state["signals"]["looks"]}
    with pytest.raises(StateError, match="no usable 'signals'"):
        ldb.load_state_dict(state | {"signals": signals})


def test_a_budget_is_refused():
    with pytest.raises(AttachError, match="target_saving is not usable with strategy='adaptive'"):
        attach(ZOO["mlp"].model(), target_saving=0.2)


def test_rate_zero_is_plain_training():
    entry = ZOO["vit"]
    plain, mine = entry.model(), entry.model()
    optimizer = sgd(plain)
    ldb, own = attach(mine, 0.0)
    for epoch in range(3):
        for batch in ldb.epoch(entry.batches(4), epoch):
            for model, its in ((plain, optimizer), (mine, own)):
                entry.backward(model, batch)
                its.step()
                its.zero_grad()
    for one, other in zip(mine.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
