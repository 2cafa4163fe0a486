"""The face: what a user calls, and what it answers."""

import copy
import warnings

import pytest
import torch
from torch.utils.data import DataLoader

from attached import assert_same_weights, attach, each_strategy, sgd, small, train
from layerdropback import (
    AttachError,
    Control,
    EpochError,
    LayerDropBack,
    Schedule,
    Truncate,
    Uniform,
)
from zoo import ZOO, mlp

ALWAYS = Schedule(every=1, start=0)


@pytest.mark.parametrize("strategy", ["uniform", Uniform(), Truncate(), Control(), "control"])
def test_a_strategy_is_an_object_or_its_name(strategy):
    model = mlp()
    ldb = LayerDropBack(model, sgd(model), strategy)
    expected = {"uniform": Uniform(), "control": Control()}.get(strategy, strategy)
    assert ldb.settings.strategy == expected
    assert ldb.settings.schedule == Schedule(every=2, start=1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategy": "adaptive"}, "strategy='adaptive' is not usable.*uniform, truncate, branch"),
        ({"strategy": 0.5}, "strategy=0.5 is not usable"),
        ({"strategy": Uniform}, "strategy=<class .*Uniform'> is not usable"),
        ({"schedule": 2}, "schedule=2 is not usable. Cause: it is a int.*give Schedule"),
        ({"lr_scale": 0}, "cannot make this LayerDropBack: 1 problem.*\n.*lr_scale=0 is not"),
    ],
)
def test_what_makes_no_sense_is_an_error_at_once(settings, words):
    model = mlp()
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, sgd(model), **settings)


def test_the_epochs_modes_lengths_and_evaluation_inside():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    batches = entry.batches(4)
    for epoch in range(4):
        progress = ldb.epoch(batches, epoch)
        assert len(progress) == 4
        assert ldb.is_drop_epoch == (epoch % 2 == 1)
        for batch in progress:
            mask = ldb.mask
            entry.backward(model, batch)
            with torch.no_grad():
                model.eval()
                model(batch[0])
                model.train()
            assert (mask is None) if ldb.mask is None else (ldb.mask == mask).all()
            optimizer.step()
            optimizer.zero_grad()
        assert not ldb.is_drop_epoch
    assert 0 < ldb.stats()["share_dropped"] < 1


def implicit(entry, ldb, model, optimizer, epoch):
    train(entry, model, ldb, optimizer, epoch)


def explicit(entry, ldb, model, optimizer, epoch):
    ldb.begin_epoch(epoch)
    for batch in entry.batches(2):
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    ldb.end_epoch()


def block(entry, ldb, model, optimizer, epoch):
    with ldb.epoch(None, epoch):
        for batch in entry.batches(2):
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()


def test_explicit_calls_do_the_same():
    entry = ZOO["mlp"]
    models = []
    for loop in (implicit, explicit, block):
        model = entry.model()
        ldb, optimizer = attach(model)
        for epoch in range(3):
            loop(entry, ldb, model, optimizer, epoch)
        assert ldb.stats()["drop_steps"] == 2
        models.append(model)
    for other in models[1:]:
        assert_same_weights(models[0], other)


@each_strategy
def test_redraw_counts_a_step(strategy):
    entry = small(strategy)
    model = entry.model()
    ldb, optimizer = attach(model, strategy, seed=1)
    train(entry, model, ldb, optimizer)
    ldb.begin_epoch(1)
    masks = [ldb.mask.tolist()]
    for _ in range(8):
        ldb.redraw()
        masks.append(ldb.mask.tolist())
    assert ldb.stats()["step"] == 10
    assert len({tuple(mask) for mask in masks}) > 1


def test_a_mask_that_was_given_away_is_the_callers():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    train(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        before = ldb.mask.tolist()
        ldb.mask[:] = True
        assert ldb.mask.tolist() == before


def test_total_steps_counts_the_batch_factor():
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(torch.zeros(22, 8), batch_size=4)
    steps = sum(len(ldb.epoch(loader, epoch)) for epoch in range(5))
    ldb.end_epoch()
    assert ldb.total_steps(loader, 5) == steps == 3 * 6 + 2 * 3
    assert loader.batch_sampler.batch_size == 4


def test_total_steps_inside_a_drop_epoch():
    model = mlp()
    ldb, _ = attach(model, batch_scale=2)
    loader = DataLoader(torch.zeros(22, 8), batch_size=4)
    with ldb.epoch(loader, 1):
        assert ldb.total_steps(loader, 5) == 3 * 6 + 2 * 3
        assert loader.batch_sampler.batch_size == 8


def test_presets_and_their_changes():
    model = mlp()
    ldb = LayerDropBack.from_preset(model, sgd(model), "paper-finetune", seed=7)
    settings = ldb.settings
    assert (settings.lr_scale, settings.batch_scale, settings.seed) == ("inverse", 2, 7)
    assert settings.strategy == Uniform(0.5, unit="tensor")
    ldb.detach()
    changes = {"strategy": "truncate", "batch_scale": 1, "schedule": ALWAYS}
    other = LayerDropBack.from_preset(model, sgd(model), "paper-finetune", **changes)
    assert (other.settings.strategy, other.settings.batch_scale) == (Truncate(), 1)
    assert (other.settings.lr_scale, other.settings.schedule) == ("inverse", ALWAYS)
    with pytest.raises(AttachError, match="preset='paper' is unknown.*paper-scratch"):
        LayerDropBack.from_preset(model, sgd(model), "paper")


def test_stats_are_plain_numbers_for_a_logger():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, lr_scale=2.0)
    names = [layer.name for layer in ldb.layers]
    before = ldb.stats()
    assert before == {
        "epoch": None,
        "is_drop_epoch": False,
        "step": 0,
        "drop_steps": 0,
        "lr_factor": 1.0,
        "share_dropped": 0.0,
        "backward_saved": None,
        "times_dropped": dict.fromkeys(names, 0),
        "drop_chances": {},
        "gradient_bytes": None,
    }
    train(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        now = ldb.stats()
    assert now.keys() == before.keys()
    assert (now["epoch"], now["is_drop_epoch"], now["step"], now["lr_factor"]) == (1, True, 2, 2.0)
    assert now["drop_chances"] == {"0": 0.5, "2": 0.5, "4": 0.0}


def test_it_says_what_it_is():
    model = mlp()
    ldb, _ = attach(model, Truncate(0.3))
    assert repr(ldb).startswith("LayerDropBack(Truncate(")
    assert repr(ldb).endswith("layers=3, step=0)")
    assert "share 0.3" in ldb.summary()


def test_after_detach_nothing_begins():
    ldb, _ = attach(mlp())
    ldb.detach()
    ldb.detach()
    for begin in (lambda: ldb.epoch([], 0), lambda: ldb.begin_epoch(0), ldb.redraw):
        with pytest.raises(EpochError, match=r"not attached.*detach\(\) was called"):
            begin()


def test_after_detach_training_is_plain():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, lr_scale=3.0, schedule=ALWAYS)
    train(entry, model, ldb, optimizer, steps=4)
    ldb.detach()
    twin, other = entry.model(), None
    twin.load_state_dict(model.state_dict())
    other = sgd(twin)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in entry.batches(12):
            for each, its in ((model, optimizer), (twin, other)):
                entry.backward(each, batch)
                its.step()
                its.zero_grad()
    assert_same_weights(model, twin)


@pytest.mark.parametrize("epoch", [-1, 1.0, True, None])
def test_an_epoch_is_a_count(epoch):
    ldb, _ = attach(mlp())
    with pytest.raises(EpochError, match="is no epoch. Cause: epochs are counted from 0"):
        ldb.epoch([], epoch)
