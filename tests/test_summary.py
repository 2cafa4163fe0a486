"""The table that is read before anyone trains."""

import pytest

from attached import attach, dropping, train
from layerdropback import Branch, Control, Schedule, Truncate, Uniform
from zoo import ZOO


def attached(name="mlp", strategy="uniform", steps=2, **settings):
    """A controller after some full steps."""
    entry = ZOO[name]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, **settings)
    if steps:
        train(entry, model, ldb, optimizer, steps=steps)
    return ldb


def rows(ldb):
    """By layer, in the table's order: the size and the drop rate as they stand there."""
    lines = ldb.summary().splitlines()[2:]
    return {line.split()[0]: tuple(line.split(maxsplit=2)[1:]) for line in lines}


def test_the_rates_before_and_after_the_first_step():
    before = rows(attached("unreached", steps=0))
    assert before["lower"][1] == "rate 0.5 (order not known before the first step)"
    after = rows(attached("unreached"))
    assert list(after) == ["lower", "classifier", "unused"]
    assert after["lower"] == ("108", "0.5")
    assert after["classifier"] == ("65", "always kept")
    assert after["unused"] == ("39", "the loss does not reach it")


def test_layers_come_in_the_order_of_use():
    registered = list(rows(attached("attention", steps=0)))
    assert registered == [
        "(root)",
        "embed",
        "attention",
        "attention.out_proj",
        "norm",
        "classifier",
    ]
    found = list(rows(attached("attention")))
    assert found == ["embed", "(root)", "attention", "attention.out_proj", "norm", "classifier"]


@pytest.mark.parametrize("steps", [0, 2])
def test_frozen_layers_are_told(steps):
    assert rows(attached("frozen_stem", steps=steps))["0"][1] == "frozen"


def test_own_rates_and_kept_layers():
    strategy = Uniform(0.5, keep=["2"], rates={"0": 0.25})
    assert [rate for _, rate in rows(attached(strategy=strategy)).values()] == [
        "0.25",
        "always kept",
        "always kept",
    ]


def test_what_lies_in_no_branch():
    found = rows(attached("residual", "branch"))
    assert found["2.inner"][1] == "0.5"
    assert found["0"][1] == found["4"][1] == "in no branch"


def test_what_lies_above_a_kept_layer():
    found = rows(attached("vit", Truncate(0.1, "fixed", keep=["blocks.1.attn.qkv"])))
    assert found["blocks.1.attn.qkv"][1] == "always kept"
    assert found["blocks.1.mlp.fc1"][1] == "above every cut"


@pytest.mark.parametrize(
    ("strategy", "settings", "words"),
    [
        ("uniform", {}, "LayerDropBack: uniform, rate 0.5, over 3 layers (unit 'layer'), "),
        ("uniform", {}, "every 2 epochs from epoch 1; LR x1.0, batch x1 in drop epochs"),
        ("uniform", {"schedule": Schedule(every=1, start=3)}, "every epoch from epoch 3; "),
        ("uniform", {"schedule": Schedule(steps=5)}, "every 2 epochs (of 5 steps) from epoch 1"),
        ("uniform", {"schedule": Schedule(anneal=0.25, length=8)}, ", the last 25% in full; "),
        ("uniform", {"schedule": Schedule(ramp="rising", length=8)}, "rate 0.5 (rising), over"),
        ("uniform", {"lr_scale": "inverse", "batch_scale": 2}, "LR xinverse, batch x2 in"),
        (dropping("uniform", unit="tensor"), {}, "over 6 layers (unit 'tensor')"),
        (Truncate(0.3), {}, "LayerDropBack: truncate, share 0.3 (fixed), over 3 layers"),
        (Branch(), {}, "LayerDropBack: branch, rate 0.3, over"),
        (Control(), {}, "LayerDropBack: control, nothing dropped, over 3 layers"),
        (Uniform(0), {}, "LayerDropBack with a drop rate of 0: plain training, no epoch drops"),
    ],
)
def test_the_headline(strategy, settings, words):
    name = "residual" if isinstance(strategy, Branch) else "mlp"
    headline = attached(name, strategy, steps=0, **settings).summary().splitlines()[0]
    assert words in headline
