"""Drop rates of single layers: by what they cost, and by how much the gradient hangs on them."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from command import TINY, ldb
from layerdropback import AttachError, LayerDropBack, StateError, find_branches, find_layers
from layerdropback.allocation import MOST, Weights, spread
from layerdropback.lab.profiling.cost import step_costs
from layerdropback.lab.profiling.trial import Call
from layerdropback.sensitivity import BATCHES, Sensitivity, of_branches, of_layers
from zoo import ZOO

PARTS = st.lists(st.floats(0, 100), min_size=1, max_size=12)
WAYS = [("uniform", "cost"), ("uniform", "sensitivity"), ("branch", "cost")]
WAYS += [("branch", "sensitivity")]


def attach(model, drop_rate=0.4, **settings):
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    settings = {"every": 1, "start": 0, "verify": True} | settings
    return LayerDropBack(model, optimizer, drop_rate, **settings), optimizer


# ---- the rates -----------------------------------------------------------------------------------


@given(PARTS, st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_rates_spare_what_an_even_rate_would(costs, seed, rate):
    costs = np.array(costs)
    changes = np.random.default_rng(seed).random(len(costs))
    for weights in (None, changes, np.zeros(len(costs))):
        rates = spread(rate, costs, weights)
        assert ((rates >= 0) & (rates <= max(rate, MOST) + 1e-12)).all()
        assert rates @ costs == pytest.approx(rate * costs.sum(), rel=1e-6)


@given(PARTS, st.integers(0, 2**32 - 1), st.floats(0.01, 0.98))
def test_a_higher_rate_drops_no_layer_less(costs, seed, rate):
    costs = np.array(costs)
    changes = np.random.default_rng(seed).random(len(costs))
    assert (spread(rate + 0.01, costs, changes) >= spread(rate, costs, changes) - 1e-6).all()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_no_rates_that_spare_as_much_change_the_gradient_less(rate):
    """SciPy, which knows nothing of the formula, finds none."""
    generator = np.random.default_rng(3)
    costs, changes = generator.random(6), generator.random(6)
    floored = changes + 0.1 * changes.mean()
    found = minimize(
        lambda p: floored @ p**2,
        np.full(6, rate),
        bounds=[(0, MOST)] * 6,
        constraints={"type": "eq", "fun": lambda p: p @ costs - rate * costs.sum()},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success
    np.testing.assert_allclose(spread(rate, costs, changes), found.x, atol=2e-3)


def test_layers_that_were_frozen_when_it_was_measured_count_as_the_others_do():
    weights = Weights({"a": 1.0, "b": 1.0}, {"a": 0.5}).updated({"a": 0.0, "b": 2.0})
    assert weights.costs == {"a": 1.0, "b": 2.0}
    assert weights.rates(0.3, ["a", "b"]) == pytest.approx([0.18, 0.36])


# ---- what is measured ----------------------------------------------------------------------------


def test_a_layers_part_of_the_gradient():
    entry = ZOO["resnet"]
    model = entry.model()
    entry.backward(model, entry.batches(1)[0])
    parts = of_layers(find_layers(model))
    total = sum(float(p.grad.double().square().sum()) for p in model.parameters())
    for layer in find_layers(model):
        own = sum(float(p.grad.double().square().sum()) for p in layer.parameters)
        assert parts[layer.name] == pytest.approx(own / total, rel=1e-4)
    assert sum(parts.values()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("name", ["resnet", "vit", "densenet", "tied_gpt"])
def test_what_a_branch_changes_is_what_detaching_it_changes(name):
    """Against a second model whose module really detaches its output."""
    entry = ZOO[name]
    (batch,) = entry.batches(1)
    model = entry.model().eval()
    output = model(batch[0])
    (seed,) = torch.autograd.grad(entry.loss(entry.select(output), batch[1]), output)
    branches = find_branches(model, batch[0])
    used = Call((batch[0],), {}), {0: seed}
    before = copy.deepcopy(model.state_dict())
    changes = of_branches(model, used, {b.name: [b.name] for b in branches})
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters()), "the model is left alone"
    whole = gradients(entry, copy.deepcopy(model), batch)
    total = sum(float(g.square().sum()) for g in whole.values())
    for branch in branches:
        other = copy.deepcopy(model)
        other.get_submodule(branch.name).register_forward_hook(lambda m, a, out: out.detach())
        without = gradients(entry, other, batch)
        change = sum(
            float((g - without.get(key, torch.zeros(()))).square().sum())
            for key, g in whole.items()
        )
        assert changes[branch.name] == pytest.approx(change / total, rel=1e-3, abs=1e-9)
    assert len(set(changes.values())) == len(branches)


def gradients(entry, model, batch):
    entry.backward(model, batch)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_a_model_that_cannot_repeat_its_backward_pass_is_told():
    class Once(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.first, self.inner, self.last = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            Once.calls += x.device.type != "meta"
            if Once.calls > 1:
                raise RuntimeError("only once")
            x = self.first(x)
            return self.last(x + self.inner(x))

    model = Once()
    ldb, optimizer = attach(model, strategy="branch", allocate="sensitivity")
    with pytest.raises(AttachError, match=r"cannot be measured with Once.*\(only once\).*'cost'"):
        ZOO["mlp"].train(ldb, model, optimizer, [0])


# ---- in training ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "allocate"), WAYS)
def test_drop_steps_have_the_rates_that_were_worked_out(strategy, allocate):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy=strategy, allocate=allocate)
    masks = entry.train(ldb, model, optimizer, range(60))
    full = 1 if allocate == "cost" else BATCHES
    assert masks[:full] == [None] * full, "what is measured is measured in full steps"
    assert None not in masks[full:]
    shares = np.array(masks[full:]).mean(axis=0)
    table = ldb.summary().splitlines()[1:]
    for layer, share in zip(ldb.layers, shares, strict=True):
        row = next(line.split() for line in table if line.split()[0] == layer.name)
        rate = float(row[2]) if row[2][0].isdigit() else 0.0
        # Four standard errors of a binomial share.
        assert share == pytest.approx(rate, abs=4 * 0.5 / len(masks) ** 0.5)
    weights = ldb._stepper.findings.weights
    costs = np.array([weights.costs.get(layer.name, 0.0) for layer in ldb.layers])
    rates = ldb._stepper.plan.candidates(ldb._stepper.plan.heads(), 0.5).odds.rates
    free = ldb._stepper.plan.free()
    assert rates @ costs == pytest.approx(0.4 * costs[free].sum(), rel=1e-6)
    assert len(set(rates[free & (costs > 0)].round(6))) > 1, "rates differ"


@pytest.mark.parametrize(("strategy", "allocate"), WAYS)
def test_measuring_changes_nothing(strategy, allocate):
    """The steps that are full end where plain training's do, to the last bit."""
    entry = ZOO["resnet"]
    ended = []
    for dropping in (True, False):
        model = entry.model()
        settings = {"strategy": strategy, "allocate": allocate} if dropping else {}
        rate = 0.4 if dropping else 0.0
        handle, optimizer = attach(model, rate, start=1, lr_scale=2, **settings)
        entry.train(handle, model, optimizer, [0])
        ended.append((model.state_dict(), optimizer.state_dict()["state"], torch.get_rng_state()))
    torch.testing.assert_close(ended[0], ended[1], rtol=0, atol=0)


@pytest.mark.parametrize(("strategy", "allocate"), WAYS)
@pytest.mark.parametrize("steps", [2, 8])
def test_a_resumed_run_goes_on_as_the_unbroken_one(strategy, allocate, steps):
    """After two steps, in the midst of measuring, too."""
    entry = ZOO["vit"]
    model = entry.model()
    settings = {"strategy": strategy, "allocate": allocate}
    handle, optimizer = attach(model, **settings)
    entry.train(handle, model, optimizer, [0], steps)
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict(), handle.state_dict()))
    expected = entry.train(handle, model, optimizer, [1, 2])
    again = entry.model()
    other, other_optimizer = attach(again, **settings)
    again.load_state_dict(kept[0])
    other_optimizer.load_state_dict(kept[1])
    other.load_state_dict(kept[2])
    assert entry.train(other, again, other_optimizer, [1, 2]) == expected
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("entry", "damage"),
    [
        ("weights", {"costs": {"nowhere": 1.0}, "changes": None}),
        ("weights", {"costs": {"head": "much"}, "changes": None}),
        ("sensitivity", {"batches": -1, "sums": {}}),
    ],
)
def test_a_damaged_state_is_refused(entry, damage):
    handle, _ = attach(ZOO["vit"].model(), allocate="sensitivity")
    saved = handle.state_dict() | {entry: damage}
    with pytest.raises(StateError, match=f"the state has no usable '{entry}'"):
        handle.load_state_dict(saved)


def test_a_budget_is_met_with_rates_by_cost():
    entry = ZOO["vit"]
    (batch,) = entry.batches(1)
    settings = {"strategy": "uniform", "allocate": "cost", "target_saving": 0.15}
    full, drop = step_costs(
        entry.model(),
        batch[0],
        lambda output: entry.select(output).sum(),
        draws=200,
        masks=200,
        **settings,
    )
    assert 1 - drop.total / full.total == pytest.approx(0.15, abs=0.015)


def test_shapes_have_no_gradients_to_measure():
    with pytest.raises(AttachError, match="'sensitivity' cannot be counted before training"):
        step_costs(ZOO["mlp"].model(), torch.ones(1, 8), allocate="sensitivity")


def test_an_overflow_is_no_measurement():
    seen = Sensitivity()
    for change in (float("nan"), float("inf")):
        seen.add({"a": 0.5, "b": change})
    assert seen.mean() == {}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"allocate": "odd"}, "allocate='odd' is not usable.*give one of even, cost, sens"),
        (
            {"allocate": "cost", "strategy": "truncate"},
            "allocate='cost' is not usable with strategy='truncate'. Cause: a cut drops all",
        ),
        (
            {"allocate": "cost", "rates": {"*": 0.2}},
            "rates and allocate='cost' exclude each other",
        ),
    ],
)
def test_what_makes_no_sense_is_told(settings, problem):
    with pytest.raises(AttachError, match=problem):
        attach(ZOO["mlp"].model(), **settings)


def test_the_command_line_takes_it(tmp_path, capsys, monkeypatch):
    flags = ["--epochs", "2", "--start", "0", "--allocate", "sensitivity", "--strategy", "branch"]
    code, _, errors = ldb(
        "train", *TINY, *flags, "--out", tmp_path / "run", capsys=capsys, monkeypatch=monkeypatch
    )
    assert (code, errors) == (0, "")
    flags[-1] = "truncate"
    code, _, errors = ldb(
        "train", *TINY, *flags, "--out", tmp_path / "two", capsys=capsys, monkeypatch=monkeypatch
    )
    assert code == 2
    assert "--allocate 'sensitivity' is not usable with --strategy 'truncate'" in errors
