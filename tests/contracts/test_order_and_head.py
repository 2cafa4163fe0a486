"""Promises 8 and 9: order is the graph's; the last layer of each output is kept."""

import pytest

from attached import UNITS, attach, dropping, train
from layerdropback import Schedule
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


@pytest.mark.in_turn("unit")
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_the_heads_are_kept_and_all_else_drops(name, unit):
    entry = ZOO[name]
    model = entry.model()
    strategy = dropping("uniform", 0.9, unit=unit)
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS, verify=False)
    train(entry, model, ldb, optimizer, steps=12)
    times = ldb.stats()["times_dropped"]
    heads = (entry.head.split("+")[0], *entry.ends)
    kept = {n for n, _ in model.named_parameters() if n.split(".")[0] in heads}
    for layer in ldb.layers:
        fixed = set(layer.parameter_names) & kept or layer.name.split(".")[0] in entry.frozen
        assert (times[layer.name] == 0) == bool(fixed), layer.name
    assert ldb.stats()["drop_steps"] == 11, "the first step is full: it shows the order"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ZOO)
def test_every_parameter_is_in_one_layer(name, unit):
    model = ZOO[name].model()
    ldb, _ = attach(model, dropping("uniform", unit=unit))
    found = [id(parameter) for layer in ldb.layers for parameter in layer.parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())


def test_keep_patterns_are_never_dropped():
    entry = ZOO["vit"]
    model = entry.model()
    strategy = dropping("uniform", 0.95, keep=["blocks.0", "*norm*"])
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS)
    train(entry, model, ldb, optimizer, steps=20)
    times = ldb.stats()["times_dropped"]
    kept = [name for name in times if name.startswith("blocks.0") or "norm" in name]
    assert len(kept) > 5
    assert all(times[name] == 0 for name in [*kept, "head"])
    assert all(times[name] > 0 for name in times if name not in [*kept, "head"])


def test_layers_drop_at_their_own_rates():
    entry = ZOO["mlp"]
    model = entry.model()
    strategy = dropping("uniform", 0.5, rates={"0": 0.1, "2": 0.9})
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS, verify=False)
    train(entry, model, ldb, optimizer, steps=200)
    times = ldb.stats()["times_dropped"]
    assert 5 < times["0"] < 40
    assert 160 < times["2"] < 195
    assert times["4"] == 0
