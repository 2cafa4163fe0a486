"""Layers in the order of their use."""

from torch import nn

from layerdropback import find_layers
from layerdropback.model.order import Order
from layerdropback.model.ranking import by_first_use, first_use, lateness


def order(*names):
    ranks = {name: rank for rank, name in enumerate(names)}
    return Order(ranks, ranks)


def test_layers_come_by_their_first_use_and_the_unused_last():
    layers = find_layers(nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(3))))
    used = order("2.weight", "0.weight")
    assert by_first_use(layers, used) == [2, 0, 1]
    assert lateness(layers[1], used) == (True, -1)
    assert first_use(layers[1], used) == 2


def test_of_tied_parameters_the_last_use_counts_where_the_early_one_is_cut_off():
    """Registered first, used first and last; a norm of one tensor comes right before it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.middle = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.norm = nn.RMSNorm(2)

    layers = find_layers(Net())
    names = ["head.weight", "middle.weight", "norm.weight"]
    first = {name: rank for rank, name in enumerate(names)}
    last = {name: rank for rank, name in enumerate(names[1:] + names[:1])}
    assert by_first_use(layers, Order(first, last)) == [0, 1, 2]
    assert by_first_use(layers, Order(first, last), {"head.weight"}) == [1, 2, 0]


def test_single_numbers_are_earlier_than_all_other_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.scale = nn.Linear(2, 2, bias=False), nn.PReLU()

    layers = find_layers(Net())
    used = order("head.weight", "scale.weight")
    latest = max(layers, key=lambda layer: lateness(layer, used))
    assert latest.name == "head"
