"""Cuts in real models: what they skip, what they cost, and that backward really stops there."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from layerdropback import AttachError, LayerDropBack, StateError
from layerdropback.lab.profiling.cost import step_costs
from layerdropback.lab.saved import SavedBytes
from layerdropback.model.backward import BackwardCosts
from layerdropback.model.flops import ForwardFlops, corrections
from layerdropback.model.graph import edges, graph_roots
from zoo import ZOO


def sgd(model, lr=0.1):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr, momentum=0.9)


def attach(model, drop_rate=0.5, **settings):
    optimizer = sgd(model)
    return LayerDropBack(
        model, optimizer, drop_rate, strategy="truncate", verify=True, **settings
    ), optimizer


def chain(depth=5, width=8):
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))


def learn(entry, model, optimizer, batch):
    entry.backward(model, batch)
    optimizer.step()
    optimizer.zero_grad()


# ---- the costs -----------------------------------------------------------------------------------


# Of "unreached" an output is computed that the loss does not use, which counts as if it were.
@pytest.mark.parametrize("name", sorted(set(ZOO) - {"unreached"}))
def test_costs_of_any_set_are_those_of_a_real_backward_pass(name):
    entry = ZOO[name]
    model, (batch,) = entry.model(), entry.batches(1)
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    costs = BackwardCosts({id(p): n for n, p in trainable.items()})
    counter = ForwardFlops()
    handle = model.register_forward_hook(
        lambda *call: costs.add(edges(graph_roots(call[2])), counter.nodes)
    )
    with counter:
        entry.backward(model, batch)
    handle.remove()
    random = np.random.default_rng(0)
    for share in (1.0, 0.7, 0.4, 0.1):
        wanted = {n for n in trainable if random.random() < share or n.startswith(entry.head)}
        for key, parameter in trainable.items():
            parameter.requires_grad = key in wanted
        model.zero_grad()
        outputs = entry.select(model(batch[0]))
        loss = entry.loss(outputs, batch[1])
        with FlopCounterMode(display=False, custom_mapping=corrections()) as real:
            loss.backward()
        assert costs.of(wanted) == real.get_total_flops(), share


def test_a_grouped_convolution_costs_what_it_computes():
    conv = nn.Conv2d(8, 16, 3, groups=4, padding=1, bias=False)
    inputs = torch.ones(2, 8, 5, 5, requires_grad=True)
    product = 2 * (2 * 16 * 5 * 5) * (8 // 4 * 3 * 3)
    for layer in (conv, nn.ConvTranspose2d(16, 8, 3, groups=4, padding=1, bias=False)):
        x = inputs if layer is conv else torch.ones(2, 16, 5, 5, requires_grad=True)
        with FlopCounterMode(display=False, custom_mapping=corrections()) as counter:
            layer(x).sum().backward()
        assert counter.get_total_flops() == 3 * product


def test_fused_attention_on_the_cpu_is_counted():
    query = torch.ones(2, 3, 5, 4, requires_grad=True)
    key = torch.ones(2, 3, 7, 4)
    with FlopCounterMode(display=False, custom_mapping=corrections()) as forward:
        out = nn.functional.scaled_dot_product_attention(query, key, key)
    assert forward.get_total_flops() == 2 * (2 * 2 * 3 * 5 * 7 * 4)
    with FlopCounterMode(display=False, custom_mapping=corrections()) as backward:
        out.sum().backward()
    assert backward.get_total_flops() == 5 * (2 * 2 * 3 * 5 * 7 * 4)


def test_a_graph_that_a_wrapper_shows_again_counts_once():
    model = chain()
    costs = BackwardCosts({id(p): n for n, p in model.named_parameters()})
    with ForwardFlops() as counter:
        out = model(torch.ones(2, 8))
    names = set(dict(model.named_parameters()))
    costs.add(edges(graph_roots(out)), counter.nodes)
    once = costs.of(names)
    costs.add(edges(graph_roots(out)), counter.nodes)
    assert costs.of(names) == once > 0


def test_a_function_of_the_users_own_costs_twice_its_forward():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            return x @ weight

        @staticmethod
        def backward(ctx, grad):
            x, weight = ctx.saved_tensors
            return grad @ weight.T, x.T @ grad

    weight = nn.Parameter(torch.ones(4, 4))
    costs = BackwardCosts({id(weight): "weight"})
    with ForwardFlops() as counter:
        out = Product.apply(torch.ones(2, 4), weight)
    costs.add(edges(graph_roots(out)), counter.nodes)
    assert costs.of({"weight"}) == 2 * (2 * 2 * 4 * 4)


def test_a_frozen_tower_beside_the_model_costs_nothing():
    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.mine, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.frozen.requires_grad_(False)

        def forward(self, x):
            return self.head(self.mine(x) + self.frozen(x).relu())

    model = Towers()
    costs = BackwardCosts({id(p): n for n, p in model.named_parameters()})
    with ForwardFlops() as counter:
        out = model(torch.ones(1, 8))
    costs.add(edges(graph_roots(out)), counter.nodes)
    assert costs.of({"mine.weight", "head.weight"}) == 2 * 8 * 8 + 2 * (2 * 8 * 2)


# ---- cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["layer", "block", "tensor"])
@pytest.mark.parametrize("name", sorted(ZOO))
def test_dropped_layers_are_the_first_used_and_the_mean_skip_is_the_rate(name, unit):
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, 0.3, unit=unit)
    for batch in ldb.epoch(entry.batches(1), 0):
        learn(entry, model, optimizer, batch)
    plan, shares = ldb._stepper.plan, ldb._stepper.findings.shares
    cuts = plan.candidates(plan.heads(), 0.5).odds.cuts
    skipped = []
    for epoch in range(1, 21, 2):
        for batch in ldb.epoch(entry.batches(4), epoch):
            count = int(ldb.mask.sum())
            assert set(np.flatnonzero(ldb.mask)) == set(cuts.layers[:count])
            skipped.append(shares[ldb.layers[cuts.layers[count - 1]].name] if count else 0.0)
            learn(entry, model, optimizer, batch)
    # 40 draws on [0, 0.6]: three standard errors, and more where few depths are far apart.
    assert abs(np.mean(skipped) - 0.3) < 3 * max(0.18, np.std(skipped)) / np.sqrt(len(skipped))


@pytest.mark.parametrize("name", ["resnet", "vit", "densenet", "tied_gpt"])
def test_a_counted_drop_step_skips_the_rate(name):
    """By the same counter that counts everything else, on masks that are really drawn."""
    entry = ZOO[name]
    (batch,) = entry.batches(1)

    def loss(outputs):
        return entry.select(outputs).sum()

    for rate in (0.2, 0.6):
        full, drop = step_costs(
            entry.model(), batch[0], loss, draws=48, strategy="truncate", drop_rate=rate
        )
        # Uniform on an interval of at most 0.8: its mean of 48 is within 0.1 at three sigmas.
        assert abs(1 - drop.backward / full.backward - rate) < 0.1


def test_backward_stops_and_keeps_no_activations_below_the_cut():
    model = chain(6)
    ldb, optimizer = attach(model, 0.5)
    inputs, kept = torch.ones(4, 8), {}
    for epoch in range(40):
        with ldb.epoch(None, epoch):
            with SavedBytes(model) as saved:
                hidden = model[0](inputs)
                out = model(inputs)
            count = 0 if ldb.mask is None else int(ldb.mask.sum())
            kept.setdefault(count, saved.total)
            assert hidden.requires_grad
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


def test_the_gradients_are_the_plain_ones_with_the_dropped_ones_set_to_none():
    """An independent reference: a plain step on a twin, then the dropped gradients taken away."""
    for name in ("resnet", "densenet", "vit", "attention"):
        entry = ZOO[name]
        model, twin = entry.model(), entry.model()
        ldb, optimizer = attach(model, 0.5, every=1)
        twin_optimizer = sgd(twin)
        dropped_ever = 0
        for epoch in range(3):
            for batch in ldb.epoch(entry.batches(4), epoch):
                mask = ldb.mask if ldb.mask is not None else np.zeros(len(ldb.layers), bool)
                names = {n for i in np.flatnonzero(mask) for n in ldb.layers[i].parameter_names}
                dropped_ever += len(names)
                entry.backward(model, batch)
                entry.backward(twin, batch)
                rate = twin_optimizer.param_groups[0]["lr"]
                for key, parameter in twin.named_parameters():
                    if key in names:
                        parameter.grad = None
                mine = dict(model.named_parameters())
                for key, parameter in twin.named_parameters():
                    if parameter.grad is None:
                        assert mine[key].grad is None, key
                    else:
                        torch.testing.assert_close(mine[key].grad, parameter.grad)
                twin_optimizer.param_groups[0]["lr"] = rate * (2 if epoch else 1)
                optimizer.step()
                twin_optimizer.step()
                twin_optimizer.param_groups[0]["lr"] = rate
                optimizer.zero_grad()
                twin_optimizer.zero_grad()
                twin.load_state_dict(model.state_dict())
        assert dropped_ever


def test_fixed_depth_skips_about_the_same_in_every_step():
    model = chain(9)
    ldb, optimizer = attach(model, 0.5, every=1, start=0, depth="fixed")
    counts = set()
    for epoch in range(20):
        with ldb.epoch(None, epoch):
            if ldb.mask is not None:
                counts.add(int(ldb.mask.sum()))
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert max(counts) - min(counts) == 1


# ---- what cannot be ------------------------------------------------------------------------------


def first_step(model, **settings):
    ldb, optimizer = attach(model, **settings)
    with ldb.epoch(None, 0):
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
    return ldb


def test_a_share_that_a_kept_layer_makes_unreachable_is_told_with_the_maximum():
    # Of 9 products: two for weights, those for the inputs of layers 1 and 2.
    with pytest.raises(AttachError) as caught:
        first_step(chain(), drop_rate=0.5, keep=["2"])
    text = str(caught.value)
    assert "drop_rate=0.5 cannot be reached: cuts skip at most 0.444 of the backward" in text
    assert "layer '2' is always kept" in text
    assert "give a drop_rate of at most 0.444" in text
    first_step(chain(), drop_rate=0.44, keep=["2"])


def test_the_head_bounds_the_share_too():
    with pytest.raises(AttachError, match="at most 0.889 .*layer '4' is always kept"):
        first_step(chain(), drop_rate=0.95)


def test_the_summary_has_the_chances():
    ldb = first_step(chain(), drop_rate=0.3, keep=["3"])
    lines = ldb.summary().splitlines()
    assert "truncate at rate 0.3" in lines[0]
    chances = [line.split()[-1] for line in lines[2:]]
    assert [float(chance) for chance in chances[:3]] == sorted(
        map(float, chances[:3]), reverse=True
    )
    assert lines[-2].endswith("always kept")
    assert lines[-1].endswith("always kept")


def test_layers_above_a_kept_one_are_called_so():
    ldb = first_step(chain(), drop_rate=0.1, keep=["1"])
    assert [line.split("  ")[-1].strip() for line in ldb.summary().splitlines()[3:]] == [
        "always kept",
        "above a kept layer",
        "above a kept layer",
        "always kept",
    ]


def test_a_model_without_products_cannot_be_weighed():
    class Scales(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))

        def forward(self, x):
            for part in self.parts:
                x = part(x)
            return x

    with pytest.raises(AttachError, match="cuts cannot be weighed.*use strategy='uniform'"):
        first_step(Scales())


def test_depths_have_names():
    with pytest.raises(AttachError, match="depth='deep' is not usable.*uniform, fixed, power"):
        attach(chain(), depth="deep")


# ---- the state -----------------------------------------------------------------------------------


def masks(model, ldb, optimizer, epochs):
    found = []
    for epoch in epochs:
        for _ in ldb.epoch(range(3), epoch):
            found.append(None if ldb.mask is None else ldb.mask.tolist())
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    return found


def test_a_resumed_run_draws_the_same_cuts():
    model = chain()
    ldb, optimizer = attach(model)
    masks(model, ldb, optimizer, range(2))
    saved = ldb.state_dict()
    expected = masks(model, ldb, optimizer, range(2, 6))
    ldb.detach()
    again = chain()
    other, other_optimizer = attach(again)
    other.load_state_dict(saved)
    assert masks(again, other, other_optimizer, range(2, 6)) == expected
    assert any(mask and any(mask) for mask in expected)


def test_the_state_of_another_strategy_is_completed_by_a_full_step():
    model = chain()
    optimizer = sgd(model)
    uniform = LayerDropBack(model, optimizer)
    masks(model, uniform, optimizer, range(1))
    saved = uniform.state_dict()
    assert saved["shares"] is None
    uniform.detach()
    ldb = LayerDropBack(model, optimizer, strategy="truncate")
    ldb.load_state_dict(saved)
    found = masks(model, ldb, optimizer, range(1, 4))
    assert found[0] is None  # the costs are counted first
    assert all(mask is not None for mask in found[1:3])


@pytest.mark.parametrize("shares", [{"0": 0.5}, {"0": -1.0}, [0.5], {"0": "x"}])
def test_damaged_shares_are_refused(shares):
    ldb = first_step(chain())
    damaged = ldb.state_dict() | {"shares": shares}
    with pytest.raises(StateError, match="no usable 'shares'"):
        ldb.load_state_dict(damaged)


# ---- torch.compile -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
def test_compiled_blocks_are_cut_in_a_few_graphs():
    torch._dynamo.reset()
    entry = ZOO["vit"]
    model, compiled = entry.model(), []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    for block in model.blocks:
        block.compile(backend=backend)
    ldb, optimizer = attach(model, 0.5, unit="block", every=1, start=1)
    counts = set()
    for epoch in range(3):
        for batch in ldb.epoch(entry.batches(8), epoch):
            counts.add(0 if ldb.mask is None else int(ldb.mask.sum()))
            learn(entry, model, optimizer, batch)
    assert len(counts) >= 3
    # Trained or dropped, and for the latter with an input that wants a gradient or not.
    assert len(compiled) <= 3 * len(model.blocks)


def test_stats_tell_the_chances():
    model = chain()
    ldb, optimizer = attach(model, 0.3, keep=["3"])
    assert ldb.stats()["drop_chances"] == {}
    with ldb.epoch(None, 0):
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
    chances = ldb.stats()["drop_chances"]
    assert list(chances) == ["0", "1", "2", "3", "4"]
    assert 1 > chances["0"] > chances["1"] > chances["2"] > chances["3"] == chances["4"] == 0
