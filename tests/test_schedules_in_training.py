"""Ramps, a full end, step periods and pools of masks, in training loops and in the trainer."""

import numpy as np
import pytest
import torch

from command import metrics_of
from layerdropback import AttachError, LayerDropBack
from zoo import ZOO

STRATEGIES = ("uniform", "truncate", "branch")


def train(epochs=6, steps=4, entry=ZOO["vit"], **settings):
    """The model, the controller, and for each step its epoch with the mask, or None."""
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, **({"verify": True, "every": 1} | settings))
    found = []
    for epoch in range(epochs):
        for batch in ldb.epoch(entry.batches(steps), epoch):
            found.append((epoch, None if ldb.mask is None else ldb.mask, ldb.is_drop_epoch))
            entry.backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
    return model, ldb, found


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ramp", ["rising", "falling"])
def test_a_ramp_drops_more_and_more_or_less_and_less(ramp, strategy):
    _, _, found = train(
        epochs=13, steps=12, drop_rate=0.4, strategy=strategy, ramp=ramp, length=13, start=1
    )
    dropped = np.array([0 if mask is None else mask.sum() for _, mask, _ in found]).reshape(13, 12)
    assert dropped[0].sum() == 0
    thirds = dropped[1:].reshape(3, -1).mean(axis=1)
    assert (np.diff(thirds) > 0).all() if ramp == "rising" else (np.diff(thirds) < 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_end_is_trained_in_full(strategy):
    _, _, found = train(epochs=8, strategy=strategy, anneal=0.5, length=8)
    modes = [any(mask is not None for e, mask, _ in found if e == epoch) for epoch in range(8)]
    assert modes == [False, True, True, True, False, False, False, False]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_periods_of_steps_ignore_the_epochs(strategy):
    """Two epochs of twelve steps, in periods of four: full, drop, full, drop, full, drop."""
    _, ldb, found = train(2, 12, strategy=strategy, every=2, start=1, period_steps=4)
    drops = [mask is not None for _, mask, _ in found]
    assert drops == ([False] * 4 + [True] * 4) * 3
    assert [is_drop for _, _, is_drop in found] == drops
    assert ldb.stats()["drop_steps"] == 12
    assert not ldb.is_drop_epoch


def test_periods_of_steps_go_on_over_a_resume():
    settings = {"every": 2, "start": 1, "period_steps": 3, "ramp": "rising", "length": 24}
    _, _, whole = train(2, 12, **settings)
    entry = ZOO["vit"]
    model, ldb, _ = train(1, 12, **settings)
    saved, weights = ldb.state_dict(), model.state_dict()
    again = entry.model()
    again.load_state_dict(weights)
    optimizer = torch.optim.SGD(again.parameters(), lr=0.05, momentum=0.9)
    other = LayerDropBack(again, optimizer, verify=True, **settings)
    other.load_state_dict(saved)
    masks = []
    for batch in other.epoch(entry.batches(12), 1):
        masks.append(other.mask)
        entry.backward(again, batch)
        optimizer.step()
        optimizer.zero_grad()
    for (_, expected, _), mask in zip(whole[12:], masks, strict=True):
        assert (expected is None) == (mask is None)
        assert mask is None or (expected == mask).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pool_holds_few_masks(strategy):
    _, ldb, found = train(13, 8, strategy=strategy, masks=4, start=1)
    drawn = [tuple(mask) for _, mask, _ in found if mask is not None]
    assert len(drawn) == 96
    assert 2 <= len(set(drawn)) <= 4
    if strategy != "truncate":  # at rate 0.5 each is in just two masks of four
        times = [n for n in ldb.stats()["times_dropped"].values() if n]
        assert times
        assert set(times) == {48}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ramp": "up", "length": 5}, "ramp='up' is not usable.*constant, rising, falling"),
        ({"ramp": "rising"}, "ramp='rising' needs a length.*give length="),
        ({"anneal": 0.1}, "anneal=0.1 needs a length"),
        ({"anneal": 1.0, "length": 5}, "anneal=1.0 is not usable.*a share of the run"),
        ({"length": 0}, "length=0 is not usable"),
        ({"period_steps": 0}, "period_steps=0 is not usable.*steps are counted"),
        (
            {"period_steps": 5, "batch_scale": 2},
            "period_steps=5 and batch_scale=2 exclude each other.*between epochs only",
        ),
        ({"masks": 1}, "masks=1 is not usable.*from 2 to 4096"),
        ({"masks": 2.5}, "masks=2.5 is not usable"),
    ],
)
def test_what_makes_no_sense_is_told(settings, words):
    model = ZOO["mlp"].model()
    with pytest.raises(AttachError, match=words):
        LayerDropBack(model, torch.optim.SGD(model.parameters(), 0.1), **settings)


def test_rate_zero_is_plain_whatever_else_is_asked_for():
    plain, _, _ = train(4, drop_rate=0.0)
    mine, _, _ = train(4, drop_rate=0.0, ramp="rising", anneal=0.3, length=4, masks=3)
    for one, other in zip(mine.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


# ---- the command line ----------------------------------------------------------------------------

SMALL = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20", "--batch-size", "8"]


def test_the_trainer_knows_its_length(run, tmp_path):
    flags = ["--epochs", "5", "--every", "1", "--anneal", "0.4", "--ramp", "rising"]
    code, output, errors = run("train", *SMALL, *flags, "--strategy", "truncate", "--out", "a")
    assert (code, errors) == (0, "")
    assert "truncate at rate 0.5 (rising)" in output
    assert "every epoch from epoch 1, the last 40% in full" in output
    modes = [line["mode"] for line in metrics_of(tmp_path / "a")]
    assert modes == ["full", "drop", "drop", "full", "full"]
    shares = [line["share_dropped"] for line in metrics_of(tmp_path / "a")]
    assert shares[1] < shares[2]


def test_the_trainer_counts_steps(run, tmp_path):
    flags = ["--epochs", "2", "--period-steps", "3", "--masks", "4", "--anneal", "0.25"]
    code, output, errors = run("train", *SMALL, *flags, "--out", "a")
    assert (code, errors) == (0, "")
    assert "every 2 epochs (of 3 steps)" in output
    assert [line["mode"] for line in metrics_of(tmp_path / "a")] == ["mixed", "mixed"]
    shares = [line["share_dropped"] for line in metrics_of(tmp_path / "a")]
    # Of 24 steps, 8 periods, the last two are full; of the others every second drops.
    assert shares[0] > shares[1] > 0
    assert "period_steps: 3" in (tmp_path / "a" / "settings.yaml").read_text()


def test_comparisons_are_by_epochs(run):
    code, _, errors = run("compare", *SMALL, "--epochs", "2", "--period-steps", "3")
    assert code != 0
    assert "--period-steps 3 is not usable" in errors
    code, _, errors = run("sweep", *SMALL, "--epochs", "2", "--period-steps", "3")
    assert code != 0
    assert "--period-steps 3 is not usable in a sweep" in errors
