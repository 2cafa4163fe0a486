"""What a checkpoint holds: plain values, of this model, loaded whole or not at all."""

import copy
import io
import json
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from attached import attach, dropping
from layerdropback import Schedule, StateError, Uniform
from layerdropback.state import VERSION
from zoo import ZOO, mlp

ALWAYS = Schedule(every=1, start=0)


def saved_state(model=None, strategy="uniform", **settings):
    """A controller after one step, and its state."""
    model = mlp() if model is None else model
    ldb, optimizer = attach(model, strategy, **settings)
    with ldb.epoch(None, 0):
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
    return ldb, ldb.state_dict()


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_the_state_is_plain(strategy):
    _, state = saved_state(ZOO["residual"].model(), strategy)
    assert json.loads(json.dumps(state)) == state
    assert state["version"] == VERSION == 4
    assert state["layers"][0] == ["0", ["0.weight (16, 8)", "0.bias (16,)"]]
    assert state["settings"]["strategy"]["name"] == strategy
    assert state["settings"]["schedule"]["every"] == 2


def test_numpys_numbers_are_plain_in_a_state():
    """A sweep takes its rates from numpy; ``torch.load(weights_only=True)`` refuses its types."""
    strategy = Uniform(np.float64(0.5), rates={"0": np.float32(0.25)}, pool=np.int64(3))
    schedule = Schedule(np.int64(1), np.int64(0), anneal=np.float64(0.5), length=np.int64(8))
    given = {"lr_scale": np.float64(2), "seed": np.int64(3)}
    _, state = saved_state(None, strategy, schedule=schedule, **given)
    assert json.loads(json.dumps(state)) == state
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == state


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_the_order_of_keys_does_not_matter(strategy):
    ldb, state = saved_state(ZOO["residual"].model(), strategy)
    other, _ = attach(ZOO["residual"].model(), strategy)
    other.load_state_dict(json.loads(json.dumps(state, sort_keys=True)))
    assert other.state_dict() == state
    assert other.stats() == ldb.stats()


def test_what_another_release_has_added_is_left_alone():
    ldb, state = saved_state()
    ldb.load_state_dict(state | {"new": 1})
    assert ldb.state_dict() == state


def test_a_state_saved_before_the_first_step_records_the_order_later():
    model = mlp()
    ldb, optimizer = attach(model, schedule=ALWAYS)
    state = ldb.state_dict()
    assert state["order"] is None
    ldb.load_state_dict(state)
    seen = []
    for _ in ldb.epoch(range(3), 0):
        seen.append(ldb.mask is not None)
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()
    assert seen == [False, True, True]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: [], "this list is no state of LayerDropBack"),
        (lambda s: {}, "this dict is no state of LayerDropBack"),
        (lambda s: None, "this NoneType is no state.*pass what ldb.state_dict"),
        (lambda s: s | {"version": 3, "release": "0.0.9"}, "version 3, this release reads 4"),
        (lambda s: s | {"version": 99, "release": "9"}, "layerdropback 9 saved it"),
        (lambda s: {k: v for k, v in s.items() if k != "step"}, "no usable 'step'"),
        (lambda s: {k: v for k, v in s.items() if k != "epoch"}, "no usable 'epoch'"),
        (lambda s: {k: v for k, v in s.items() if k != "order"}, "no usable 'order'"),
        (lambda s: s | {"step": "many"}, "no usable 'step'.*cut or changed"),
        (lambda s: s | {"step": True}, "no usable 'step'"),
        (lambda s: s | {"seed": -1}, "no usable 'seed'"),
        (lambda s: s | {"seed": 2**64}, "no usable 'seed'"),
        (lambda s: s | {"epoch": 1.5}, "no usable 'epoch'"),
        (lambda s: s | {"settings": None}, "no usable 'settings'"),
        (lambda s: s | {"layers": "0"}, "no usable 'layers'"),
        (lambda s: s | {"times_dropped": [1]}, "no usable 'times_dropped'"),
        (lambda s: s | {"epoch_dropped": float("nan")}, "no usable 'epoch_dropped'"),
        (lambda s: s | {"epoch_saved": -1}, "no usable 'epoch_saved'"),
        (lambda s: s | {"order": {"first": {}}}, "no usable 'order'"),
        (lambda s: s | {"order": s["order"] | {"last": {"9.weight": 0}}}, "no usable 'order'"),
        (lambda s: s | {"order": s["order"] | {"ends": ["9.weight"]}}, "no usable 'order'"),
        (lambda s: s | {"shares": {"0": 2.0}}, "no usable 'shares'"),
        (lambda s: s | {"shares": {"0": 0.5}}, "no usable 'shares'"),
        (lambda s: s | {"branches": [["9", [], 0.5]]}, "no usable 'branches'"),
        (lambda s: s | {"early": {"0.weight": "0"}}, "no usable 'early'"),
        (lambda s: s | {"early": {"0.weight": ["9"]}}, "no usable 'early'"),
        (lambda s: s | {"early": {"9.weight": ["0"]}}, "no usable 'early'"),
        (lambda s: s | {"scaled": 1}, "no usable 'scaled'"),
        (lambda s: s | {"sources": ["9"]}, "no usable 'sources'"),
        (lambda s: s | {"by_hand": 1}, "no usable 'by_hand'"),
        (lambda s: s | {"missed": ["9.weight"]}, "no usable 'missed'"),
        (lambda s: s | {"futile": -1}, "no usable 'futile'"),
    ],
)
def test_a_damaged_state_is_told_and_changes_nothing(damage, message):
    ldb, state = saved_state()
    before = copy.deepcopy(ldb.state_dict())
    with pytest.raises(StateError, match=message):
        ldb.load_state_dict(damage(copy.deepcopy(state)))
    assert ldb.state_dict() == before


ODD = [None, True, -1, 1.5, math.nan, "x", [], {}, [[1]], [None], {"a": [1]}, {"0": None}]
ODD += [10**30, [10**30] * 3, [["2.inner", [["a"]], 0.5]]]


def places(value, path=()):
    """Where something stands in a state, the first two entries of each list."""
    yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, (*path, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value[:2]):
            yield from places(entry, (*path, number))


@pytest.mark.filterwarnings("ignore:the state was saved with other settings")
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_whatever_is_damaged_is_a_state_error_or_can_be_loaded(strategy):
    """Never another error, and never half of it."""
    ldb, state = saved_state(ZOO["residual"].model(), strategy)
    refused = 0
    for path in places(state):
        for odd in ODD:
            damaged = holder = {"": copy.deepcopy(state)}
            for key in ("", *path[:-1])[: len(path)]:
                holder = holder[key]
            holder[path[-1] if path else ""] = odd
            try:
                ldb.load_state_dict(damaged[""])
            except StateError:
                refused += 1
                assert ldb.state_dict() == state, (path, odd)
            else:
                ldb.load_state_dict(state)
    assert refused > 500


def test_an_epoch_stays_open_when_its_state_is_refused():
    ldb, _ = saved_state(schedule=ALWAYS)
    ldb.begin_epoch(1)
    mask = ldb.mask.tolist()
    with pytest.raises(StateError):
        ldb.load_state_dict({})
    assert ldb.is_drop_epoch
    assert ldb.mask.tolist() == mask


def test_another_models_state_names_the_differences():
    _, state = saved_state()
    other = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Linear(4, 5))
    ldb, _ = saved_state(other)
    with pytest.raises(StateError) as error:
        ldb.load_state_dict(state)
    text = str(error.value)
    assert "layer '4' is only in the state" in text
    assert "layer '3' is only in the model" in text
    assert "'2' has 2.weight (4, 16), 2.bias (4,) here and 2.weight (16, 16)" in text


def test_another_unit_is_another_model():
    _, state = saved_state()
    ldb, _ = saved_state(strategy=dropping("uniform", unit="tensor"))
    with pytest.raises(StateError, match="layer '0' is only in the state.*more differences"):
        ldb.load_state_dict(state)


def test_loading_ends_an_open_epoch():
    ldb, state = saved_state(schedule=ALWAYS)
    ldb.begin_epoch(1)
    assert ldb.mask is not None
    ldb.load_state_dict(state)
    assert not ldb.is_drop_epoch
    assert ldb.mask is None


def test_other_settings_are_named_in_a_warning_and_are_this_runs_own():
    _, state = saved_state(strategy=Uniform(0.5), lr_scale=2.0, seed=1)
    ldb, _ = attach(mlp(), Uniform(0.3), schedule=ALWAYS, lr_scale=2.0, seed=2)
    with pytest.warns(UserWarning, match="the state was saved with other settings") as seen:
        ldb.load_state_dict(state)
    text = str(seen[0].message)
    assert "strategy.rate is 0.5 in the state and 0.3 here" in text
    assert "schedule.every is 2 in the state and 1 here" in text
    assert "lr_scale" not in text
    assert "seed" not in text
    assert ldb.settings.strategy.rate == 0.3
    assert ldb.state_dict()["seed"] == 1, "the seed is the state's"


@pytest.mark.parametrize("strategy", ["truncate", "branch"])
def test_a_state_of_another_strategy_has_the_missing_learnt_anew(strategy):
    """What this one must know, and the other need not, is read from the next step."""
    entry = ZOO["residual"]
    _, state = saved_state(entry.model(), "uniform", schedule=ALWAYS)
    model = entry.model()
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ldb.load_state_dict(state)
    masks = entry.train(ldb, model, optimizer, [1], steps=4)
    assert [mask is not None for mask in masks] == [False, True, True, True]
