"""What a cut above each layer skips of the backward pass's cost."""

import pytest
from torch import nn

from layerdropback import AttachError, find_layers
from layerdropback.model.order import Order
from layerdropback.strategies.shares import depth_shares


class Costs:
    """Costs of parameters by name, asked for by their places."""

    def __init__(self, of):
        self._of = of

    def by_place(self, places, early):
        self.places, self.early = dict(places), dict(early)
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
    assert costs.early == {"0.weight": 0, "0.bias": 0}


def test_a_model_without_a_cost():
    words = "cuts cannot be weighed in this model.*no product or convolution.*use Uniform"
    with pytest.raises(AttachError, match=words):
        depth_shares(LAYERS, order_of(NAMES), Costs({}), frozenset())
