"""Cuts in real models: what they skip, and that backward really stops there."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from attached import UNITS, attach, dropped_names, sgd
from layerdropback import AttachError, LayerDropBack, Schedule, StateError, Truncate
from layerdropback.lab.held import SavedBytes
from layerdropback.lab.profiling.cost import step_costs
from twins import ALWAYS
from zoo import ZOO

# The first step is a full one of its own; all after it drop.
FROM_ONE = Schedule(every=1, start=1)


def cut(share=0.5, depth="uniform", **fields):
    return Truncate(share, depth, **fields)


def chain(depth=5, width=8):
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))


def train(model, ldb, optimizer, epochs, steps=3):
    """The masks of some epochs of a chain."""
    found = []
    for epoch in epochs:
        for _ in ldb.epoch(range(steps), epoch):
            found.append(None if ldb.mask is None else ldb.mask.tolist())
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    return found


@pytest.mark.in_turn("unit")
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", sorted(ZOO))
def test_dropped_layers_are_the_first_used_and_the_mean_skip_is_the_share(name, unit):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, cut(0.3, unit=unit), schedule=FROM_ONE)
    entry.train(ldb, model, optimizer, [0], steps=1)
    planner = ldb._engine.windows.planner
    cuts = planner.plan.at(planner.plan.heads(), 0.5)[1]
    shares = planner.knowledge.learned.shares
    skipped = []
    for mask in entry.train(ldb, model, optimizer, [1], steps=25):
        count = sum(mask)
        assert set(np.flatnonzero(mask)) == set(cuts.layers[:count])
        skipped.append(shares[ldb.layers[cuts.layers[count - 1]].name] if count else 0.0)
    # 25 draws on [0, 0.6]: three standard errors, and more where few depths are far apart.
    assert abs(np.mean(skipped) - 0.3) < 3 * max(0.18, np.std(skipped)) / np.sqrt(len(skipped))


COUNTED = ("tied_gpt", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet", "vit")))


@pytest.mark.parametrize("share", [0.6, pytest.param(0.2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COUNTED)
def test_a_counted_drop_step_skips_the_share(name, share):
    """By the same counter that counts everything else, on masks that are really drawn."""
    entry = ZOO[name]
    (batch,) = entry.batches(1)

    def loss(outputs):
        return entry.select(outputs).sum()

    full, drop = step_costs(entry.model(), batch[0], loss, draws=48, strategy=Truncate(share))
    # The ResNet's stem alone is 0.74 of its cost: at three sigmas 48 draws of it or none.
    assert abs(1 - drop.backward / full.backward - share) < 3 * 0.3 / 48**0.5


def test_backward_stops_and_keeps_no_activations_below_the_cut():
    model = chain(6)
    ldb, optimizer = attach(model, cut(), schedule=ALWAYS)
    inputs, kept = torch.ones(4, 8), {}
    for _ in ldb.epoch(range(30), 0):
        with SavedBytes(model) as saved:
            hidden = model[0].weight @ inputs.T
            out = model(inputs)
        count = 0 if ldb.mask is None else int(ldb.mask.sum())
        kept.setdefault(count, saved.total)
        assert hidden.requires_grad, "outside of the model's call nothing is changed"
        assert graph_depth(out) == 6 - count
        out.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert len(kept) >= 4
    ranked = [kept[count] for count in sorted(kept)]
    assert all(more > less for more, less in itertools.pairwise(ranked))


def graph_depth(out):
    node, depth = out.grad_fn, 0
    while node is not None:
        depth += 1
        following = [child for child, _ in node.next_functions if child is not None]
        node = next(
            (c for c in following if "Accumulate" not in c.name() and c.name() != "TBackward0"),
            None,
        )
    return depth


@pytest.mark.parametrize("name", ["resnet", "densenet", "vit", "attention"])
def test_the_gradients_are_the_plain_ones_with_the_dropped_ones_set_to_none(name):
    """An independent reference: a plain step on a twin, then the dropped gradients taken away."""
    entry = ZOO[name]
    model, twin = entry.model(), entry.model()
    ldb, optimizer = attach(model, cut(), schedule=ALWAYS, lr_scale=2)
    twin_optimizer, ever = sgd(twin), 0
    for number, batch in enumerate(ldb.epoch(entry.batches(8), 0)):
        names = dropped_names(ldb)
        ever += len(names)
        entry.backward(model, batch)
        entry.backward(twin, batch)
        for (key, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
            assert (mine.grad is None) == (key in names), key
            if key in names:
                theirs.grad = None
            else:
                torch.testing.assert_close(mine.grad, theirs.grad)
        twin_optimizer.param_groups[0]["lr"] = 0.2 if number else 0.1  # the first step is full
        optimizer.step()
        twin_optimizer.step()
        optimizer.zero_grad()
        twin_optimizer.zero_grad()
        torch.testing.assert_close(dict(twin.state_dict()), dict(model.state_dict()))
        twin.load_state_dict(model.state_dict())
    assert ever


def test_fixed_depth_skips_about_the_same_in_every_step():
    model = chain(9)
    ldb, optimizer = attach(model, Truncate(0.5), schedule=ALWAYS)
    _, *masks = train(model, ldb, optimizer, range(3), steps=7)
    counts = [sum(mask) for mask in masks]
    assert max(counts) - min(counts) == 1


def test_of_a_model_of_two_outputs_the_last_layer_of_each_is_kept():
    """So that a loss of one output alone has a gradient; below the heads a cut holds."""
    entry = ZOO["auxiliary"]
    model = entry.model()
    ldb, optimizer = attach(model, cut(0.4), schedule=ALWAYS, verify=False)
    entry.train(ldb, model, optimizer, [0])
    for output in ("logits", "auxiliary"):
        for _ in ldb.epoch(range(10), 1):
            model(torch.randn(2, 8))[output].sum().backward()
            optimizer.zero_grad()
            ldb.redraw()
    times = ldb.stats()["times_dropped"]
    assert times["auxiliary"] == times["classifier"] == 0
    assert times["lower"] > 0


# ---- what cannot be ------------------------------------------------------------------------------


def first_step(model, strategy=Truncate()):  # noqa: B008 - it is frozen
    ldb, optimizer = attach(model, strategy)
    with ldb.epoch(None, 0):
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
    return ldb


def test_a_share_that_a_kept_layer_makes_unreachable_is_told_with_the_maximum():
    # Of 9 products: two for weights, those for the inputs of layers 1 and 2.
    with pytest.raises(AttachError) as caught:
        first_step(chain(), Truncate(0.5, keep=["2"]))
    text = str(caught.value)
    assert "share=0.5 cannot be reached: cuts skip at most 0.444 of the cost" in text
    assert "layer '2' is always kept" in text
    assert "give a share of at most 0.444" in text
    first_step(chain(), Truncate(0.44, keep=["2"]))


def test_an_input_that_requires_a_gradient_is_the_cause_where_it_is():
    ldb, optimizer = attach(chain(), Truncate(0.9))
    with pytest.raises(AttachError) as caught, ldb.epoch(None, 0):
        ldb.model(torch.ones(2, 8, requires_grad=True)).sum().backward()
        optimizer.step()
    # Each layer has two products of one size: for its weight, and for what comes before it.
    assert "an input requires a gradient, for which 0.5 of the cost is spent" in str(caught.value)


def test_the_head_bounds_the_share_too_and_no_weight_has_moved():
    model = chain()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(AttachError, match="at most 0.889 .*layer '4' is always kept"):
        first_step(model, Truncate(0.95))
    torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)


def test_the_summary_has_the_chances():
    ldb = first_step(chain(), cut(0.3, keep=["3"]))
    lines = ldb.summary().splitlines()
    assert "truncate, share 0.3 (uniform)" in lines[0]
    chances = [line.split()[-1] for line in lines[2:]]
    assert [float(chance) for chance in chances[:3]] == sorted(
        map(float, chances[:3]), reverse=True
    )
    assert lines[-2].endswith("always kept")
    assert lines[-1].endswith("always kept")


def test_layers_above_a_kept_one_are_called_so():
    ldb = first_step(chain(), Truncate(0.1, keep=["1"]))
    assert [line.split("  ")[-1].strip() for line in ldb.summary().splitlines()[3:]] == [
        "always kept",
        "above every cut",
        "above every cut",
        "always kept",
    ]


def test_a_model_without_products_cannot_be_weighed():
    model = nn.Sequential(*(nn.LayerNorm(8) for _ in range(3)))
    with pytest.raises(AttachError, match=r"cuts cannot be weighed.*use Uniform\(\)"):
        first_step(model)


def test_stats_tell_the_chances():
    model = chain()
    ldb, optimizer = attach(model, cut(0.3, keep=["3"]))
    assert ldb.stats()["drop_chances"] == {}
    train(model, ldb, optimizer, [0], steps=1)
    chances = ldb.stats()["drop_chances"]
    assert list(chances) == ["0", "1", "2", "3", "4"]
    assert 1 > chances["0"] > chances["1"] > chances["2"] > chances["3"] == chances["4"] == 0


# ---- the state -----------------------------------------------------------------------------------


def test_a_resumed_run_draws_the_same_cuts():
    model = chain()
    ldb, optimizer = attach(model, cut())
    train(model, ldb, optimizer, range(2))
    saved = ldb.state_dict()
    expected = train(model, ldb, optimizer, range(2, 6))
    ldb.detach()
    again = chain()
    other, other_optimizer = attach(again, cut())
    other.load_state_dict(saved)
    assert train(again, other, other_optimizer, range(2, 6)) == expected
    assert any(mask and any(mask) for mask in expected)


def test_the_state_of_another_strategy_is_completed_by_a_full_step():
    model = chain()
    optimizer = sgd(model)
    uniform = LayerDropBack(model, optimizer)
    train(model, uniform, optimizer, [0])
    saved = uniform.state_dict()
    assert saved["shares"] is None
    uniform.detach()
    ldb = LayerDropBack(model, optimizer, "truncate")
    with pytest.warns(UserWarning, match="strategy.name is 'uniform' in the state and 'truncate'"):
        ldb.load_state_dict(saved)
    found = train(model, ldb, optimizer, range(1, 4))
    assert found[0] is None  # the costs are counted first
    assert all(mask is not None for mask in found[1:3])


@pytest.mark.parametrize("shares", [{"0": 0.5}, {"0": -1.0}, [0.5], {"0": "x"}])
def test_damaged_shares_are_refused(shares):
    ldb = first_step(chain())
    damaged = ldb.state_dict() | {"shares": shares}
    with pytest.raises(StateError, match="no usable 'shares'"):
        ldb.load_state_dict(damaged)
