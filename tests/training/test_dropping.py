"""LayerDropBack's settings as flags and keys: made from the dataclasses, and back."""

import copy
import pickle
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback import PRESETS, UsageError
from layerdropback.cli.options import layered
from layerdropback.schedule import Schedule
from layerdropback.settings import Settings
from layerdropback.strategies import STRATEGIES
from layerdropback.training.config import TrainConfig, all_flags
from layerdropback.training.dropping import FLAGS, Dropping, as_flags, flat, over, strategies_with
from layerdropback.training.settings_file import read_settings, write_settings


def test_the_flags_are_these():
    assert set(FLAGS) == {
        *("strategy", "drop_rate", "unit", "keep", "depth", "pool"),
        *("every", "start", "ramp", "anneal", "period_steps"),
        *("lr_scale", "batch_scale", "verify"),
        *("active_blocks", "block_order", "train_part", "resting_state"),
    }
    assert FLAGS["drop_rate"].default == "0.5; branch 0.3"
    assert FLAGS["strategy"].choices == tuple(STRATEGIES)


def test_no_field_is_a_flag_without_saying_so():
    for kind in (*STRATEGIES.values(), Schedule, Settings):
        told = {entry.metadata["flag"] or entry.name for entry in fields(kind) if entry.metadata}
        assert told <= FLAGS.keys()
    assert not {"rates", "length", "seed", "share", "rate", "steps"} & FLAGS.keys()


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_defaults_are_the_dataclasses_own(name):
    assert Dropping(strategy=name).settings() == Settings(STRATEGIES[name]())
    assert Dropping().settings() == Settings()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_go_there_and_back(preset):
    settings = PRESETS[preset]
    assert Dropping(**flat(settings)).settings() == settings


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "strategy": st.sampled_from(["truncate"]),
            "drop_rate": st.floats(0, 1, exclude_max=True),
            "unit": st.sampled_from(["layer", "block", "tensor"]),
            "keep": st.lists(st.text(), max_size=2).map(tuple),
            "pool": st.integers(2, 99),
            "every": st.integers(1, 9),
            "start": st.integers(0, 9),
            "ramp": st.sampled_from(["constant", "rising", "falling"]),
            "anneal": st.floats(0, 0.9),
            "lr_scale": st.just("inverse") | st.floats(0.1, 9),
            "batch_scale": st.floats(0.1, 9),
            "verify": st.booleans(),
        },
    )
)
def test_what_is_given_is_what_the_library_gets(given):
    settings = Dropping(**given).settings(length=12, seed=3)
    assert (settings.schedule.length, settings.seed) == (12, 3)
    found = flat(settings)
    for name, value in given.items():
        assert found[name] == value
    assert Dropping(**found) == Dropping(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"drop_rate": 1.5}, "--drop-rate 1.5 is not usable. Cause: it is the chance"),
        ({"strategy": "truncate", "drop_rate": -1}, "--drop-rate -1 is not usable. Cause: it is t"),
        ({"strategy": "auto"}, "--strategy 'auto' is not usable. Cause: there is no such strategy"),
        ({"strategy": "adaptive"}, "Cure: give one of uniform, truncate, branch, blocks, control."),
        ({"strategy": "branch", "depth": "fixed"}, "--depth is not usable with --strategy branch"),
        ({"depth": "fixed"}, "Cause: it belongs to truncate. Cure: leave it out, or give another"),
        (
            {"strategy": "control", "drop_rate": 0.0},
            "--drop-rate is not usable with --strategy control. Cause: it belongs to uniform, "
            "truncate and branch.",
        ),
        ({"strategy": "control", "pool": 3}, "--pool is not usable with --strategy control"),
        ({"period_steps": 0}, "--period-steps 0 is not usable"),
        (
            {"period_steps": 3, "batch_scale": 2},
            "--period-steps 3 and --batch-scale 2 exclude each other",
        ),
        ({"anneal": 1.0}, "--anneal 1.0 is not usable"),
    ],
)
def test_what_makes_no_sense_is_one_line_that_names_the_flag(given, words):
    with pytest.raises(UsageError) as error:
        Dropping(**given).settings(length=10)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError):
        TrainConfig(dropping=Dropping(**given)).check()


def test_a_name_that_is_none_is_no_argument():
    with pytest.raises(TypeError, match="masks, resample"):
        Dropping(resample="step", masks=3)


def test_arguments_become_flags():
    text = "share=0.5 cannot be reached, unlike rate=0.5 or steps=3. rates= and pool=2 stay."
    assert as_flags(text) == (
        "--drop-rate 0.5 cannot be reached, unlike --drop-rate 0.5 or --period-steps 3. "
        "rates= and --pool 2 stay."
    )


def test_rate_zero_is_plain_training_of_any_strategy():
    for name in strategies_with("drop_rate"):
        settings = Dropping(strategy=name, drop_rate=0, lr_scale=3.0).settings()
        assert not settings.ever_drops
    assert Dropping(strategy="control").settings().ever_drops


def test_a_strategy_of_the_flags_leaves_what_it_has_not_of_recipe_and_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("recipe: paper-scratch\nstrategy: truncate\ndepth: power\npool: 3\n")
    given = dict.fromkeys(("recipe", "config", *all_flags())) | {"config": file}
    settings = layered(given)
    assert (settings["strategy"], settings["depth"], settings["drop_rate"]) == (
        "truncate",
        "power",
        0.5,
    )
    control = layered(given | {"strategy": "control"})
    assert not {"depth", "pool", "drop_rate"} & control.keys()
    assert (control["unit"], control["lr_scale"]) == ("tensor", 2.0)
    TrainConfig.from_dict(control).check()
    branch = layered(given | {"strategy": "branch", "depth": "fixed"})
    with pytest.raises(UsageError, match="--depth is not usable with --strategy branch"):
        TrainConfig.from_dict(branch).check()


def test_over_keeps_what_is_the_trainers():
    lower = {"lr": 0.1, "strategy": "truncate", "depth": "power", "unit": "block"}
    assert over(lower, {"every": 1}) == lower | {"every": 1}
    assert over(lower, {"strategy": "uniform"}) == {"lr": 0.1, "strategy": "uniform"} | {
        "unit": "block"
    }


def test_settings_that_come_to_the_same_are_equal():
    assert Dropping(drop_rate=0.3, strategy="branch") == Dropping(strategy="branch")
    assert hash(Dropping(every=2)) == hash(Dropping())
    assert Dropping(every=1) != Dropping()
    assert Dropping(depth="power") != Dropping()
    for again in (copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        assert again(Dropping(keep=("a",))) == Dropping(keep=("a",))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_runs_file_has_every_value(name, tmp_path):
    config = TrainConfig(dropping=Dropping(strategy=name, lr_scale=2.0))
    write_settings(config, tmp_path / "settings.yaml")
    found = read_settings(tmp_path / "settings.yaml")
    assert FLAGS.keys() <= found.keys()
    assert found["drop_rate"] == {"branch": 0.3, "blocks": None, "control": None}.get(name, 0.5)
    assert found["depth"] == ("fixed" if name == "truncate" else None)
    assert TrainConfig.from_dict(found) == config
