"""Budgets: a rate that spares what was asked for, and rates of single layers."""

import numpy as np
import pytest
import torch
from torch import nn

from command import metrics_of
from layerdropback import AttachError, LayerDropBack
from layerdropback.lab.profiling.cost import step_costs
from zoo import ZOO


def attach(model, **settings):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)
    return LayerDropBack(model, optimizer, **({"verify": True} | settings)), optimizer


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
@pytest.mark.parametrize(
    "name", ["resnet", "vit", pytest.param("densenet", marks=pytest.mark.slow)]
)
def test_drop_steps_spare_what_was_asked_for(name, strategy):
    """Counted by torch's own counter, over masks that are really drawn."""
    entry = ZOO[name]
    (batch,) = entry.batches(1)
    if (name, strategy) in {("resnet", "branch"), ("densenet", "branch")}:
        target = 0.05  # more of these small models lies outside of branches
    else:
        target = {"uniform": 0.12, "truncate": 0.25, "branch": 0.2}[strategy]
    full, drop = step_costs(
        entry.model(),
        batch[0],
        lambda outputs: entry.select(outputs).sum(),
        draws=200,
        masks=200,
        strategy=strategy,
        target_saving=target,
    )
    assert 1 - drop.total / full.total == pytest.approx(target, abs=0.015)


@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch"])
def test_what_cannot_be_spared_is_told_with_the_maximum(strategy):
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy=strategy, target_saving=0.9)
    with pytest.raises(
        AttachError, match="target_saving=0.9 cannot be met.*a step spares 0\\.[456]"
    ):
        entry.train(ldb, model, optimizer, [0])


def test_the_rate_is_found_once_and_saved():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(model, target_saving=0.15, every=1)
    entry.train(ldb, model, optimizer, range(2))
    assert "uniform at rate 0." in ldb.summary()
    saved, weights = ldb.state_dict(), model.state_dict()
    assert 0.2 < saved["drop_rate"] < 0.9
    again = entry.model()
    again.load_state_dict(weights)
    other, other_optimizer = attach(again, target_saving=0.15, every=1)
    other.load_state_dict(saved)
    expected = entry.train(ldb, model, optimizer, range(2, 4))
    assert entry.train(other, again, other_optimizer, range(2, 4)) == expected
    assert any(mask and any(mask) for mask in expected)


def test_a_model_without_products_has_no_budget():
    model = nn.Sequential(*(nn.LayerNorm(8) for _ in range(3)))
    ldb, optimizer = attach(model, target_saving=0.1)
    with ldb.epoch(None, 0), pytest.raises(AttachError, match="no product or convolution"):
        model(torch.randn(2, 8)).sum().backward()
        optimizer.step()


def test_single_layers_have_rates_of_their_own():
    entry = ZOO["vit"]
    model = entry.model()
    rates = {"*": 0.1, "blocks.*": 0.5, "blocks.1": 0.9, "blocks.1.mlp.fc1": 0}
    ldb, optimizer = attach(model, rates=rates, every=1)
    entry.train(ldb, model, optimizer, range(26), steps=8)
    times = {name: count / 200 for name, count in ldb.stats()["times_dropped"].items()}
    assert times["blocks.1.mlp.fc1"] == 0
    assert times["blocks.1.mlp.fc2"] == pytest.approx(0.9, abs=0.1)
    assert times["blocks.0.attn.qkv"] == pytest.approx(0.5, abs=0.14)
    assert times["patch_embed.proj"] == pytest.approx(0.1, abs=0.08)


def test_a_branch_takes_the_rate_of_a_layer_that_is_named():
    entry = ZOO["vit"]
    model = entry.model()
    ldb, optimizer = attach(
        model, strategy="branch", rates={"blocks.0.attn.proj": 0.9}, drop_rate=0.2, every=1
    )
    entry.train(ldb, model, optimizer, range(26), steps=8)
    times = {name: count / 200 for name, count in ldb.stats()["times_dropped"].items()}
    assert times["blocks.0.norm1"] == times["blocks.0.attn.proj"] == pytest.approx(0.9, abs=0.1)
    assert times["blocks.1.mlp.fc1"] == pytest.approx(0.2, abs=0.12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target_saving": 1.0}, "target_saving=1.0 is not usable.*a number in .0, 1."),
        ({"rates": {"0": 1.5}}, "rates={'0': 1.5} is not usable"),
        ({"rates": {"nothing": 0.5}}, "rates='nothing' matches nothing"),
        (
            {"rates": {"0": 0.5}, "strategy": "truncate"},
            "rates= is not usable with strategy='trunc",
        ),
        ({"rates": {"0": 0.5}, "target_saving": 0.2}, "rates and target_saving exclude each other"),
    ],
)
def test_what_makes_no_sense_is_told(settings, words):
    with pytest.raises(AttachError, match=words):
        attach(ZOO["mlp"].model(), **settings)


def test_the_trainer_takes_a_budget(run, tmp_path):
    flags = ["--model", "test_resnet", "--limit-train", "64", "--limit-test", "20", "--epochs", "2"]
    flags += ["--batch-size", "8", "--strategy", "truncate", "--target-saving", "0.3"]
    code, _, errors = run("train", *flags, "--out", "a")
    assert (code, errors) == (0, "")
    assert [line["mode"] for line in metrics_of(tmp_path / "a")] == ["full", "drop"]
    assert np.mean([line["share_dropped"] for line in metrics_of(tmp_path / "a")]) > 0
    code, _, errors = run("train", *flags, "--target-saving", "3", "--out", "b")
    assert code != 0
    assert "--target-saving 3.0 is not usable" in errors
