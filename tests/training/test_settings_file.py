"""Settings from recipes, files and flags, and back to a file."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerdropback import PRESETS, Uniform, UsageError
from layerdropback.cli.options import layered
from layerdropback.training.config import TrainConfig, all_flags
from layerdropback.training.dropping import Dropping, over
from layerdropback.training.recipes import RECIPES, recipe_settings
from layerdropback.training.settings_file import (
    PLACES,
    read_settings,
    typed,
    write_settings,
)


def flags(**given):
    return dict.fromkeys(("recipe", "config", *all_flags())) | given


def test_every_setting_is_a_field_with_a_type_and_a_text():
    assert all(flag.text and flag.kind for flag in all_flags().values())
    own = set(vars(TrainConfig())) - {"dropping"}
    assert own < all_flags().keys()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_settings_that_pass_the_checks(name):
    settings = recipe_settings(name)
    assert typed(settings, name) == settings
    start = {"init": "x"} if name == "finetune" else {}
    TrainConfig.from_dict(settings | start).check()


def test_the_papers_recipes_have_the_papers_settings():
    scratch = TrainConfig.from_dict(recipe_settings("paper-scratch"))
    assert (scratch.lr, scratch.weight_decay, scratch.rotate) == (0.1, 1e-4, 15)
    settings = scratch.drop_settings()
    assert (settings.strategy.unit, settings.lr_scale, settings.schedule.start) == ("tensor", 2, 2)
    tune = TrainConfig.from_dict(recipe_settings("paper-finetune"))
    assert (tune.schedule, tune.milestones, tune.gamma) == ("steps", (0.3, 0.6, 0.85), 0.2)
    settings = tune.drop_settings()
    assert (settings.batch_scale, settings.lr_scale, tune.image_size) == (2, "inverse", 224)


def test_fine_tuning_has_the_presets_settings_or_none():
    tune = recipe_settings("finetune")
    preset = PRESETS["finetune"]
    schedule = replace(preset.schedule, length=tune["epochs"])
    assert TrainConfig.from_dict(tune).drop_settings() == replace(preset, schedule=schedule)
    plain = over(tune, {"drop_rate": 0.0})
    assert not TrainConfig.from_dict(plain).drop_settings().ever_drops
    uniform = TrainConfig.from_dict(over(tune, {"strategy": "uniform"})).drop_settings()
    assert (uniform.strategy, uniform.schedule.every) == (Uniform(0.5), 1)


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('recipe = "modern"\nepochs = 7\nweight-decay = 0.1\n')
    settings = layered(flags(config=file, epochs=3))
    assert (settings["epochs"], settings["weight_decay"], settings["ema"]) == (3, 0.1, 0.999)
    other = layered(flags(config=file, recipe="paper-scratch"))
    assert (other["epochs"], other["unit"]) == (7, "tensor")
    assert "ema" not in other


def test_what_is_written_is_what_is_read(tmp_path):
    config = replace(
        TrainConfig(),
        init=tmp_path / "x.safetensors",
        milestones=(0.5,),
        lr=1e-5,
        flip=False,
        dropping=Dropping(lr_scale="inverse", keep=("conv1", "bn*")),
        out=tmp_path,
    )
    write_settings(config, tmp_path / "settings.yaml")
    again = TrainConfig.from_dict(read_settings(tmp_path / "settings.yaml"))
    assert again == replace(config, out=None)


@settings(max_examples=40)
@given(
    st.builds(
        TrainConfig,
        lr=st.floats(1e-30, 1e30),
        epochs=st.integers(1, 2**31 - 1),
        seed=st.integers(0, 2**64 - 1),
        augment=st.booleans(),
        ema=st.floats(0, 1, exclude_max=True),
        threads=st.none() | st.integers(1, 1024),
        milestones=st.lists(st.floats(0, 1), max_size=3).map(tuple),
        dropping=st.builds(
            Dropping,
            strategy=st.sampled_from(["uniform", "truncate", "branch"]),
            drop_rate=st.none() | st.floats(0, 1, exclude_max=True),
            keep=st.lists(st.text(), max_size=3).map(tuple),
            lr_scale=st.sampled_from([None, 2.0, "inverse"]),
        ),
    )
)
def test_any_settings_survive_the_file(tmp_path_factory, config):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    write_settings(config, path)
    assert TrainConfig.from_dict(read_settings(path)) == config


WRONG = {
    "name": ("epoch: 3", "sets 'epoch'. Cause: no such setting exists. Cure: did you mean epochs"),
    "place": ("out: here", "sets 'out'. Cause: a run's place is no setting"),
    "whole": ("batch_size: 2.5", "sets batch_size to 2.5. Cause: a whole number is needed"),
    "number": ("lr: fast", "sets lr to 'fast'. Cause: a number is needed"),
    "bool": ("augment: 1", "sets augment to 1. Cause: true or false is needed"),
    "bool as number": ("epochs: true", "sets epochs to True. Cause: a number is needed"),
    "word": ("model: 18", "sets model to 18. Cause: a word is needed"),
    "list": ("milestones: 3: 4", "is no YAML"),
    "nothing but a word": ("hello", "holds no settings"),
    "list as words": ("keep: {a: 1}", "sets keep to {'a': 1}. Cause: a list of words is needed"),
    "twice": ("lr: 1\nlr: 2", "is no YAML. Cause: lr is set twice"),
    "two spellings": ("batch-size: 8\nbatch_size: 9", "sets 'batch_size' twice"),
    "no day": ("epochs: 2024-99-99", "is no YAML. Cause: month must be in 1..12"),
    "deep": ("[" * 3000, "is no YAML"),
    "null": ("epochs:", "sets epochs to None"),
    "list of words": (
        "milestones: [a]",
        "sets milestones to ['a']. Cause: a list of numbers is needed",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_file_has_wrong_is_told(name, tmp_path):
    text, message = WRONG[name]
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        read_settings(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot read .*none.yaml. Cause: No such file"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match="cannot read .*bytes.yaml"):
        read_settings(tmp_path / "bytes.yaml")
    (tmp_path / "bad.toml").write_text("epochs = = 3")
    with pytest.raises(UsageError, match="bad.toml is no TOML"):
        read_settings(tmp_path / "bad.toml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_settings(tmp_path / "empty.yaml") == {}


def test_an_optimizer_without_a_default_wants_a_learning_rate():
    with pytest.raises(UsageError, match="--optimizer lion needs --lr"):
        TrainConfig.from_dict({"optimizer": "lion"})
    assert TrainConfig.from_dict({"optimizer": "adamw"}).lr == 1e-3
    assert TrainConfig.from_dict({"optimizer": "lion", "lr": 1e-4}).lr == 1e-4


def test_places_are_flags_alone():
    assert set(PLACES) <= all_flags().keys()


def test_yes_and_no_are_words_where_they_are_choices(tmp_path):
    (tmp_path / "run.yaml").write_text("compile: no\nin_memory: yes\ndownload: yes\n")
    settings = read_settings(tmp_path / "run.yaml")
    assert settings == {"compile": "no", "in_memory": "yes", "download": True}
