"""Which arms a comparison has, and what may differ between them."""

from dataclasses import replace

import pytest

from layerdropback import UsageError
from layerdropback.tasks.arms import make_arms, parse_arm, plain_of
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data

DOUBLED = Dropping(lr_scale=2.0)
BASE = TrainConfig(epochs=4, lr=0.02, optimizer="adamw", dropping=DOUBLED)


def test_each_method_has_its_controls():
    arms = make_arms(BASE, ["late: start=2", "drop_rate=0.3,lr_scale=1"])
    assert [(arm.name, arm.role, arm.of) for arm in arms] == [
        ("plain", "plain", None),
        ("ldb", "method", None),
        ("late", "method", None),
        ("drop_rate=0.3,lr_scale=1", "method", None),
        ("no-drop@ldb", "no-drop", "ldb"),
        ("no-drop@late", "no-drop", "late"),
        ("plain@ldb", "same time", "ldb"),
        ("plain@late", "same time", "late"),
        ("plain@drop_rate=0.3,lr_scale=1", "same time", "drop_rate=0.3,lr_scale=1"),
    ]
    by_name = {arm.name: arm.way for arm in arms}
    assert by_name["plain"] == replace(BASE, dropping=Dropping(drop_rate=0.0))
    assert by_name["ldb"] == BASE
    assert by_name["late"] == replace(BASE, dropping=DOUBLED.changed(start=2))
    control = Dropping(strategy="control", start=2, lr_scale=2.0)
    assert by_name["no-drop@late"].dropping == control
    for arm in arms:
        arm.way.check()


def test_factors_of_one_need_no_control():
    """With nothing dropped and nothing scaled it would be plain training bit for bit."""
    names = [arm.name for arm in make_arms(replace(BASE, dropping=Dropping(lr_scale=1.0)))]
    assert names == ["plain", "ldb", "plain@ldb"]


@pytest.mark.parametrize(
    ("method", "factor"),
    [
        ({}, 2.0),
        ({"strategy": "truncate", "drop_rate": 0.75, "depth": "power"}, 4.0),
        ({"strategy": "branch", "drop_rate": 0.2, "pool": 4, "keep": ("fc",)}, 1.25),
    ],
)
def test_the_control_has_the_methods_factors_as_numbers(method, factor):
    """It drops nothing, so it has no rate that a factor could be the inverse of."""
    dropping = Dropping(**method, lr_scale="inverse", batch_scale=2, every=3, anneal=0.5)
    arms = {arm.name: arm for arm in make_arms(replace(BASE, dropping=dropping))}
    control = arms["no-drop@ldb"].way
    control.check()
    settings, own = control.drop_settings(), arms["ldb"].way.drop_settings()
    assert settings.strategy.name == "control"
    assert settings.lr_scale == pytest.approx(factor)
    assert settings.batch_scale == 2
    assert settings.schedule == own.schedule


def test_an_arm_of_another_strategy_leaves_what_that_one_has_not():
    base = replace(BASE, dropping=Dropping(strategy="truncate", depth="power", drop_rate=0.4))
    _, config = parse_arm("strategy=branch", base)
    assert config.dropping == Dropping(strategy="branch", drop_rate=0.4)
    _, config = parse_arm("strategy=control,lr_scale=2", base)
    assert config.dropping == Dropping(strategy="control", lr_scale=2.0)


def test_an_arm_says_what_it_does():
    dropping = Dropping(strategy="truncate", drop_rate=0.4, ramp="rising", anneal=0.25)
    task = ImageTask(BASE, load_data("digits", limit_train=20, limit_test=20))
    arms = {arm.name: arm.says(task) for arm in make_arms(replace(BASE, dropping=dropping))}
    assert arms["ldb"].startswith("truncate, unit layer, ")
    assert "0.4" in arms["ldb"]
    assert arms["ldb"].endswith(", rising, the last 25% in full")


def test_plain_settings_with_an_arm_compare_that_arm():
    arms = make_arms(plain_of(BASE), ["drop_rate=0.5,lr_scale=1"])
    assert [arm.role for arm in arms] == ["plain", "method", "same time"]


def test_values_are_read_as_in_a_settings_file():
    name, config = parse_arm(
        "wild: drop_rate=0.25, lr-scale=inverse, keep=stem*, verify=true, epochs=2.5", BASE
    )
    assert name == "wild"
    assert config.dropping == Dropping(
        drop_rate=0.25, lr_scale="inverse", keep=("stem*",), verify=True
    )
    assert config.epochs == 2.5
    assert config.lr == BASE.lr


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([""], "--arm '' is not usable. Cause: it is KEY=VALUE,... or NAME:KEY=VALUE,..."),
        (["rate"], "--arm 'rate' is not usable. Cause: it is KEY=VALUE,..."),
        (
            ["dropp_rate=1"],
            "--arm 'dropp_rate=1' sets 'dropp_rate'. Cause: no such setting exists.",
        ),
        (["drop_rate=x"], "--arm 'drop_rate=x' sets drop_rate to 'x'. Cause: a number is needed."),
        (["drop_rate=2"], "--arm 'drop_rate=2': --drop-rate 2.0 is not usable."),
        (["depth=power"], "--depth is not usable with --strategy uniform. Cause: it belongs to tr"),
        (["strategy=control,drop_rate=0.5"], "--drop-rate is not usable with --strategy control."),
        (["masks=3"], "sets 'masks'. Cause: no such setting exists."),
        (["every=["], "--arm 'every=[' is not usable. Cause: '[' is no value."),
        (["data=mnist"], "sets data. Cause: all arms share it, or they could not be compared."),
        (["seed=3"], "sets seed. Cause: all arms share it"),
        (["out=x"], "sets 'out'. Cause: a run's place is no setting."),
        (["a: start=2", "a: start=3"], "two arms are called 'a'. Cause: the tables would not"),
        (["plain: start=2"], "two arms are called 'plain'."),
    ],
)
def test_what_makes_no_arm_is_told(texts, words):
    with pytest.raises(UsageError) as error:
        make_arms(BASE, texts)
    assert words in str(error.value)
    assert "Cure: " in str(error.value)


def test_nothing_to_compare():
    with pytest.raises(UsageError, match="--drop-rate 0 leaves nothing to compare"):
        make_arms(plain_of(BASE))
