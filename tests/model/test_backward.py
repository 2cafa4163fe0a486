"""What a backward pass costs, against a counter that watches a real one, and what cuts skip."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foretelling import foretell, spent
from layerdropback import AttachError, find_layers
from layerdropback.lab.profiling.corrections import corrections
from layerdropback.model.backward import BackwardCosts, depth_shares
from layerdropback.model.flops import ForwardFlops
from layerdropback.model.graph import edges, graph_roots
from layerdropback.model.order import Order
from zoo import ZOO


def chain(depth=5, width=8):
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))


def costs_of(model, x):
    _, costs = foretell(lambda: model(x), dict(model.named_parameters()))
    return costs


# Of "unreached" an output is computed that the loss does not use, which counts as if it were.
@pytest.mark.parametrize("name", sorted(set(ZOO) - {"unreached"}))
def test_costs_of_any_set_are_those_of_a_real_backward_pass(name):
    entry = ZOO[name]
    model, (batch,) = entry.model(), entry.batches(1)
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    _, costs = foretell(lambda: model(batch[0]), trainable)
    random = np.random.default_rng(0)
    for share in (1.0, 0.7, 0.4, 0.1):
        wanted = {n for n in trainable if random.random() < share or n.startswith(entry.head)}
        for key, parameter in trainable.items():
            parameter.requires_grad = key in wanted
        model.zero_grad()
        loss = entry.loss(entry.select(model(batch[0])), batch[1])
        with FlopCounterMode(display=False, custom_mapping=corrections()) as real:
            loss.backward()
        assert spent(costs, wanted) == real.get_total_flops(), share


def test_a_graph_that_a_wrapper_shows_again_counts_once():
    model = chain()
    costs = BackwardCosts({id(p): n for n, p in model.named_parameters()})
    with ForwardFlops() as counter:
        out = model(torch.ones(2, 8))
    names = set(dict(model.named_parameters()))
    costs.add(edges(graph_roots(out)), counter.nodes)
    once = spent(costs, names)
    costs.add(edges(graph_roots(out)), counter.nodes)
    assert spent(costs, names) == once > 0


def test_two_forward_passes_cost_twice():
    model = chain()
    names = set(dict(model.named_parameters()))
    once = spent(costs_of(model, torch.ones(2, 8)), names)
    _, twice = foretell(
        lambda: [model(torch.ones(2, 8)), model(torch.ones(2, 8))], dict(model.named_parameters())
    )
    assert spent(twice, names) == 2 * once


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
    _, costs = foretell(lambda: Product.apply(torch.ones(2, 4), weight), {"weight": weight})
    assert spent(costs, {"weight"}) == 2 * (2 * 2 * 4 * 4)


def test_a_frozen_tower_beside_the_model_costs_nothing():
    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.mine, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.frozen.requires_grad_(False)

        def forward(self, x):
            return self.head(self.mine(x) + self.frozen(x).relu())

    costs = costs_of(Towers(), torch.ones(1, 8))
    assert spent(costs, {"mine.weight", "head.weight"}) == 2 * 8 * 8 + 2 * (2 * 8 * 2)


ONE = 2 * 8 * 8  # a product for one sample of a chain


def test_costs_by_place_are_what_a_cut_there_spares():
    model = chain(3)
    costs = costs_of(model, torch.ones(1, 8))
    places = {name: int(name[0]) for name, _ in model.named_parameters()}
    # Each layer's weight, and the way down to it through the layer above.
    assert costs.by_place(places) == {0: 2 * ONE, 1: 2 * ONE, 2: ONE}


def test_early_uses_can_have_a_place_of_their_own():
    layer, middle = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    names = {"tied": layer.weight, "middle": middle.weight}
    _, costs = foretell(lambda: layer(middle(layer(torch.ones(1, 8)))), names)
    places = {"tied": 1, "middle": 0}
    # But for the middle's own weight all is spent for the tied one's two uses and the ways there.
    assert costs.by_place(places) == {1: 4 * ONE, 0: ONE}
    assert costs.by_place(places, {"tied"}) == {1: ONE, 0: 4 * ONE}


def test_of_two_heads_that_share_a_weight_neither_use_is_early():
    layer, middle = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    names = {"tied": layer.weight, "middle": middle.weight}

    def heads():
        hidden = middle(layer(torch.ones(1, 8)))
        return [layer(hidden), layer(hidden + 1)]

    _, costs = foretell(heads, names)
    places = {"tied": 1, "middle": 0}
    # Of both heads the weight's gradient is kept; what lies below them is not.
    assert costs.by_place(places, {"tied"}) == {1: 2 * ONE, 0: 5 * ONE}


def test_a_later_forward_pass_makes_no_use_early():
    layer = nn.Linear(8, 8, bias=False)
    _, costs = foretell(
        lambda: [layer(torch.ones(1, 8)), layer(torch.ones(1, 8))], {"w": layer.weight}
    )
    assert costs.by_place({"w": 1}, {"w"}) == {1: 2 * ONE}


def test_weights_costs_are_what_no_gradient_towards_the_inputs_needs():
    model = chain(3)
    costs = costs_of(model, torch.ones(1, 8, requires_grad=True))
    names = set(dict(model.named_parameters()))
    assert spent(costs, names) == 6 * ONE
    assert costs.by_place(dict.fromkeys(names, 0)) == {0: 3 * ONE, math.inf: 3 * ONE}
    assert costs.by_place({"2.weight": 0}) == {0: ONE, math.inf: 3 * ONE}


@pytest.mark.parametrize(("inputs", "spared"), [("all", False), ("none", True), ("it", False)])
def test_a_leaf_that_is_no_argument_is_spared_by_cuts(inputs, spared):
    """A hook makes an activation require a gradient; of an argument that is the user's wish."""
    layer, x = nn.Linear(8, 8), torch.ones(1, 8, requires_grad=True)
    costs = BackwardCosts({id(layer.weight): "weight"})
    with ForwardFlops() as counter:
        out = layer(x)
    given = {"all": None, "none": set(), "it": {id(x)}}[inputs]
    costs.add(edges(graph_roots(out)), counter.nodes, given)
    assert spent(costs, set()) == (0 if spared else ONE)


class Costs:
    """Costs of parameters by name, asked for by their places."""

    def __init__(self, of):
        self._of = of

    def by_place(self, places, cut):
        self.places, self.cut = dict(places), cut
        spent = {}
        for name, cost in self._of.items():
            spent[places[name]] = spent.get(places[name], 0.0) + cost
        return spent


LAYERS = find_layers(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))))
NAMES = [name for layer in LAYERS for name in layer.parameter_names]


def order_of(names, last=()):
    ranks = {name: rank for rank, name in enumerate(names)}
    return Order(ranks, ranks | dict(last))


def test_shares_add_up_in_the_order_of_use():
    costs = Costs({"0.weight": 1, "0.bias": 1, "1.weight": 3, "2.weight": 5})
    used = ["2.weight", "2.bias", "0.weight", "0.bias", "1.weight", "1.bias"]
    shares = depth_shares(LAYERS, order_of(used), costs, frozenset())
    assert shares == {"2": 0.5, "0": pytest.approx(0.7), "1": 1.0}


def test_what_is_not_reached_costs_nothing_and_comes_last():
    costs = Costs({"0.weight": 1, "2.weight": 3})
    shares = depth_shares(LAYERS, order_of(["0.weight", "2.weight"]), costs, frozenset())
    assert shares == {"0": 0.25, "2": 1.0, "1": 1.0}
    assert costs.places == {"0.weight": 0, "2.weight": 1}


def test_of_a_tied_parameter_the_last_use_counts_where_early_ones_are_cut():
    costs = Costs(dict.fromkeys(NAMES, 1))
    order = order_of(NAMES, last={"0.weight": 9, "0.bias": 9})
    shares = depth_shares(LAYERS, order, costs, {"0.weight", "0.bias"})
    assert list(shares) == ["1", "2", "0"]
    assert costs.cut == {"0.weight", "0.bias"}


def test_a_model_without_a_cost():
    words = "cuts cannot be weighed in this model.*no product or convolution.*use Uniform"
    with pytest.raises(AttachError, match=words):
        depth_shares(LAYERS, order_of(NAMES), Costs({}), frozenset())
