"""Orders of use: merged from several recordings, kept in a checkpoint, and layers in them."""

import json
import random

from torch import nn

from layerdropback import find_layers
from layerdropback.model.order import Order, by_first_use, first_use, lateness
from recorded import ranked, recorded_entry
from zoo import ZOO


def test_the_order_survives_a_checkpoint():
    recorder, _ = recorded_entry(ZOO["beit"])
    order = recorder.finish()
    assert Order.from_state(json.loads(json.dumps(order.to_state(), sort_keys=True))) == order


def test_a_newer_recording_keeps_what_only_the_older_knows():
    older = Order({"a": 0, "b": 1}, {"a": 0, "b": 1}, frozenset({"u"}), frozenset({"a"}))
    newer = Order({"b": 0, "c": 1}, {"c": 0, "b": 1}, frozenset(), frozenset({"b"}))
    both = older.updated(newer)
    assert ranked(both.first) == ["a", "b", "c"]
    assert ranked(both.last) == ["a", "c", "b"]
    assert both.unreached == {"u"}
    assert both.ends == {"a", "b"}
    assert Order.from_state(json.loads(json.dumps(both.to_state()))) == both
    assert isinstance(both.unreached, frozenset), "it is sent from rank to rank, and compared"


def one_by_one(older, newer):
    """What only the older one has, put in its place by itself, right after what it came after."""
    found, before = list(newer), None
    for name in older:
        if name not in newer:
            found.insert(0 if before is None else found.index(before) + 1, name)
        before = name
    return found


def test_orders_are_merged_as_if_one_by_one():
    draw = random.Random(0)
    for _ in range(200):
        older, newer = (draw.sample(range(12), draw.randint(0, 12)) for _ in range(2))
        orders = [Order(ranks, ranks) for ranks in map(ranks_of, (older, newer))]
        assert ranked(orders[0].updated(orders[1]).first) == one_by_one(older, newer)


def ranks_of(names):
    return {name: rank for rank, name in enumerate(names)}


def test_several_ends_know_what_is_behind_them():
    recorder, _ = recorded_entry(ZOO["auxiliary"])
    order = recorder.finish()
    behind = {
        end: {name.partition(".")[0] for name in names} for end, names in order.behind.items()
    }
    assert set(behind) == set(order.ends)
    assert sorted(map(sorted, behind.values())) == [
        ["auxiliary", "lower"],
        ["classifier", "lower", "upper"],
    ]
    assert Order.from_state(json.loads(json.dumps(order.to_state(), sort_keys=True))) == order


def test_what_takes_a_frozen_ends_place_is_no_end_of_its_own():
    ranks = {"trunk": 0, "a": 1, "b": 2}
    behind = {"a": ("a", "trunk"), "b": ("b", "trunk")}
    older = Order(ranks, ranks, ends=frozenset("ab"), behind=behind)
    without = {"trunk": 0, "a": 1}
    newer = Order(without, without, ends=frozenset(["a", "trunk"]))
    assert older.updated(newer).ends == {"a", "b"}
    assert older.updated(newer).behind == behind
    again = Order(ranks, ranks, ends=frozenset(["a", "trunk"]))
    assert older.updated(again).ends == {"a", "b", "trunk"}


def test_only_ends_have_something_behind_them():
    """Else a checkpoint's state would be refused as damaged."""
    ranks = {"trunk": 0, "a": 1, "b": 2}
    behind = {"a": ("a", "trunk"), "b": ("b", "trunk")}
    older = Order(ranks, ranks, ends=frozenset("ab"), behind=behind)
    without = {"trunk": 0, "a": 1}
    newer = {"a": ("a", "trunk"), "trunk": ("trunk",)}
    now = older.updated(Order(without, without, ends=frozenset(newer), behind=newer))
    assert now.behind.keys() == now.ends == {"a", "b"}


def test_what_thaws_behind_an_end_is_known_to_be_there():
    def order(*names):
        ranks = {name: rank for rank, name in enumerate(reversed(names))}
        return Order(ranks, ranks, ends=frozenset("a"), behind={"a": names})

    assert order("a", "c").updated(order("a", "b")).behind == {"a": ("a", "c", "b")}
    assert order("a", "c").updated(order("a", "b", "c")).behind == {"a": ("a", "b", "c")}


def test_what_is_reached_now_is_unreached_no_longer():
    older = Order({"a": 0}, {"a": 0}, frozenset({"u"}))
    assert older.updated(Order({"u": 0}, {"u": 0})).unreached == frozenset()


def test_what_was_reached_before_is_not_unreached_because_one_step_missed_it():
    older = Order({"a": 0, "b": 1}, {"a": 0, "b": 1})
    newer = Order({"a": 0}, {"a": 0}, frozenset({"b"}))
    assert older.updated(newer).unreached == frozenset()


def test_it_knows_what_trained_reached_or_not():
    order = Order({"a": 0}, {"a": 0}, frozenset({"u"}))
    assert order.knows("a")
    assert order.knows("u")
    assert not order.knows("frozen")


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
