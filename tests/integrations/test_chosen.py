"""What callbacks are given goes before a preset's, and is checked at once."""

import pytest

from layerdropback import AttachError, Schedule, Truncate, Uniform
from layerdropback.integrations.chosen import chosen
from layerdropback.presets import PRESETS, preset_of


@pytest.mark.parametrize("preset", PRESETS)
def test_with_nothing_given_it_is_the_preset(preset):
    assert chosen(preset, None, schedule=None, seed=None) == preset_of(preset)


def test_what_is_given_goes_before():
    schedule = Schedule(every=3, start=1)
    settings = chosen("finetune", Uniform(0.25), schedule=schedule, seed=7, lr_scale=None)
    assert (settings.strategy, settings.schedule, settings.seed) == (Uniform(0.25), schedule, 7)
    assert settings.lr_scale == preset_of("finetune").lr_scale


def test_zero_and_false_are_given():
    settings = chosen("finetune", None, seed=0, verify=False)
    assert settings.seed == 0
    assert settings.verify is False


def test_a_strategy_may_be_a_name():
    assert chosen("finetune", "truncate").strategy == Truncate()


@pytest.mark.parametrize(
    ("preset", "strategy", "changes", "text"),
    [
        ("fine", None, {}, "preset='fine' is unknown"),
        ("finetune", "droppath", {}, "strategy='droppath' is not usable"),
        ("finetune", None, {"batch_scale": 0}, "batch_scale=0 is not usable"),
    ],
)
def test_bad_values_are_refused(preset, strategy, changes, text):
    with pytest.raises(AttachError, match=text):
        chosen(preset, strategy, **changes)
