"""A run that another release began: gone on with where it can be, else told and left as it is."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from rich.console import Console

from command import metrics_of
from layerdropback import __version__
from layerdropback.runs.checkpoint import _checksum
from layerdropback.runs.folder import TABLE
from layerdropback.training.config import TrainConfig
from layerdropback.training.metrics import EpochMetrics
from layerdropback.training.run import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs, with a checkpoint in the middle of each and at its end."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = TrainConfig(model="test_resnet", limit_train=32, limit_test=20, batch_size=8)
    more = {"checkpoint_every": 2, "checkpoints": 9, "threads": 1, "out": folder}
    train(replace(config, epochs=2, **more), Console(quiet=True))
    return folder


@pytest.fixture
def began(trained, tmp_path):
    """The same, stopped at the end of its first epoch."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "weights.safetensors").unlink()
    keep(folder, 4)
    return folder


def keep(folder, step):
    """Leave one checkpoint, of so many steps, the last that was written."""
    files = sorted((folder / "checkpoints").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    kept = [file for file in files if int(file.name[5:14]) == step][-1]
    for file in files:
        if file != kept:
            file.unlink()
    return kept


def rewrite(folder, change, step=None):
    """Change the checkpoint as if another release had written it."""
    (file,) = (folder / "checkpoints").iterdir()
    state = torch.load(file, weights_only=True)
    change(state)
    file.unlink()
    torch.save(state, folder / "new")
    name = f"step-{state.get('step', 4):09d}-{_checksum(folder / 'new')}.pt"
    os.rename(folder / "new", folder / "checkpoints" / name)
    return folder / "checkpoints" / name


def test_a_checkpoint_names_its_release(began):
    (file,) = (began / "checkpoints").iterdir()
    assert torch.load(file, weights_only=True)["version"] == __version__


def other(**changes):
    def change(state):
        state["version"] = "9.8.7"
        state.update(changes)

    return change


def more_metrics(state):
    for row in state["history"]:
        row |= {"gradient_norm": 1.5, "by_layer": {"a": 0.5}, "bad": float("nan")}
        row |= {"tensor": torch.ones(1), 7: 8}


def fewer_metrics(state):
    for name in ("lr_last", "skipped", "test_accuracy", "phases", "epoch", "mode"):
        del state["history"][0][name]


def no_metrics(state):
    state["history"] = [{}]


def another_part(state):
    state["trainer"]["a_new_part"] = state["a_new_one"] = state["export"]["new"] = 1


def more_so_far(state):
    state["trainer"]["so_far"]["a_new_sum"] = 1.0


def less_so_far(state):
    state["trainer"]["so_far"] = {"epoch": 1}


def fewer_settings(state):
    for name in ("label_smoothing", "erasing", "rotate"):
        del state["run"][name]


def no_version(state):
    del state["version"]


HARMLESS = [more_metrics, fewer_metrics, no_metrics, another_part, more_so_far, less_so_far]
HARMLESS += [fewer_settings, no_version, other()]


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__)
def test_it_goes_on_where_it_can(run, trained, began, change):
    rewrite(began, change)
    code, output, errors = run("train", "--out", began, "--resume")
    assert (code, errors) == (0, "")
    assert "resumed from step-000000004" in output
    assert len(metrics_of(began)) == 2
    name = "weights.safetensors"
    assert (began / name).read_bytes() == (trained / name).read_bytes()


def test_what_is_not_known_is_said(run, began):
    rewrite(began, lambda state: (another_part(state), other()(state)))
    output = run("train", "--out", began, "--resume")[1]
    assert f"release 9.8.7 of layerdropback wrote it, and this is {__version__}" in output
    assert "and goes on without its part 'a_new_part'" in output


def test_metrics_are_kept_and_those_missing_are_empty(run, began):
    rewrite(began, lambda state: (more_metrics(state), fewer_metrics(state)))
    assert run("train", "--out", began, "--resume")[0] == 0
    first, second = metrics_of(began)
    assert (first["gradient_norm"], first["by_layer"], first["epoch"]) == (1.5, {"a": 0.5}, 1)
    assert (first["lr_last"], first["test_accuracy"]) == (None, None)
    assert {"bad", "tensor", "7"}.isdisjoint(first)
    assert second["lr_last"] is not None
    table = (began / TABLE).read_text().splitlines()
    assert table[0].endswith(",gradient_norm,by_layer_a")
    assert all(f"seconds_{phase}" in table[0] for phase in second["phases"])


def test_a_finished_run_whose_last_test_is_not_told(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    keep(tmp_path / "run", 8)

    def change(state):
        del state["history"][1]["test_accuracy"]

    rewrite(tmp_path / "run", change)
    code, output, _ = run("train", "--out", "run", "--resume")
    assert code == 0
    assert "final test accuracy is not known" in output


def without(*path):
    def change(state):
        *outer, last = path
        for name in outer:
            state = state[name]
        del state[last]

    return change


def unknown_setting(state):
    state["run"]["a_new_setting"] = 3


def value_of(*path, to):
    def change(state):
        *outer, last = path
        for name in outer:
            state = state[name]
        state[last] = to

    return change


UNUSABLE = [
    (other(format=2), "it has format 2, and this release reads 1"),
    (without("format"), "it has format None"),
    (without("run"), "it has no part 'run'"),
    (without("history"), "it has no part 'history'"),
    (without("export"), "it has no part 'export'"),
    (without("trainer", "optimizer"), "it has no part 'optimizer'"),
    (without("trainer", "mean"), "it has no part 'mean'"),
    (value_of("trainer", to=[1]), "its part 'trainer' is a list"),
    (value_of("history", to=[1]), "its metrics are no tables"),
    (value_of("trainer", "so_far", to=None), "NoneType"),
    (value_of("trainer", "so_far", to={"steps": 3}), "it has no part 'correct'"),
    (without("trainer", "ldb", "version"), "no state of LayerDropBack"),
    (without("run", "training_images"), "it does not tell the run's 'training_images'"),
    (unknown_setting, "its run has the settings 'a_new_setting', unknown here"),
    (value_of("run", "training_images", to="0"), "the images changed"),
]


@pytest.mark.parametrize("number", range(len(UNUSABLE)))
@pytest.mark.parametrize("release", ["9.8.7", pytest.param(None, marks=pytest.mark.slow)])
def test_what_cannot_be_used_is_told_and_left(run, began, number, release):
    change, words = UNUSABLE[number]

    def both(state):
        change(state)
        state["version"] = release
        if release is None:
            del state["version"]

    file = rewrite(began, both)
    before = {path.name: path.read_bytes() for path in began.iterdir() if path.is_file()}
    code, _, errors = run("train", "--out", began, "--resume")
    assert (code, errors.count("\n")) == (2, 1)
    assert words in errors
    assert f"{file} cannot be used. Cause: " in errors
    named = f"release 9.8.7 of layerdropback wrote it, and this is {__version__}"
    assert (named if release else "another release of layerdropback than this one") in errors
    assert "--overwrite" not in errors
    assert list((began / "checkpoints").iterdir()) == [file]
    assert {path.name: path.read_bytes() for path in began.iterdir() if path.is_file()} == before


# One of each part of the file; the reader is the one of the test above, and so are its words.
QUICK = (0, 1, 4, 7, 8, 10, 11, 13)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=() if number in QUICK else pytest.mark.slow)
        for number in range(len(UNUSABLE) - 1)
    ],
)
def test_the_same_under_the_same_number(run, began, number):
    """A checkout's number stays, whatever is changed in it."""
    file = rewrite(began, UNUSABLE[number][0])
    code, _, errors = run("train", "--out", began, "--resume")
    assert (code, errors.count("\n")) == (2, 1)
    assert "release" in errors.replace(str(began), "")
    assert "--overwrite" not in errors
    assert list((began / "checkpoints").iterdir()) == [file]


def test_no_older_one_is_taken_in_its_place(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    keep(tmp_path / "run", 8)
    file = rewrite(tmp_path / "run", other(format=3))
    older = [path for path in (trained / "checkpoints").iterdir() if "step-000000004" in path.name]
    shutil.copy(older[0], tmp_path / "run" / "checkpoints")
    code, _, errors = run("train", "--out", "run", "--resume")
    assert code == 2
    assert "release 9.8.7 of layerdropback wrote it" in errors
    assert file.exists()


def test_a_part_that_is_missing_under_the_same_number(run, began):
    rewrite(began, without("trainer", "generators"))
    errors = run("train", "--out", began, "--resume")[2]
    assert f"another release of layerdropback wrote it, though named {__version__}" in errors


def test_the_run_itself_names_the_release_where_the_checkpoint_does_not(run, began):
    facts = json.loads((began / "machine.json").read_text())
    facts["versions"]["layerdropback"] = "9.9.9"
    (began / "machine.json").write_text(json.dumps(facts))
    rewrite(began, lambda state: (no_version(state), without("export")(state)))
    errors = run("train", "--out", began, "--resume")[2]
    assert "release 9.9.9 of layerdropback wrote it" in errors


def test_files_of_other_names_are_no_reason_to_begin_again(run, began):
    (file,) = (began / "checkpoints").iterdir()
    os.rename(file, began / "checkpoints" / "epoch-1.pt")
    (began / "metrics.jsonl").write_text("")
    code, output, errors = run("train", "--out", began, "--resume")
    assert code == 2
    assert "from the beginning" not in output
    assert "epoch-1.pt cannot be used. Cause: another release of layerdropback" in errors


def test_a_setting_that_this_release_does_not_have(run, began):
    settings = yaml.safe_load((began / "settings.yaml").read_text())
    (began / "settings.yaml").write_text(yaml.safe_dump(settings | {"a_new_setting": 3}))
    code, _, errors = run("train", "--out", began, "--resume")
    assert (code, errors.count("\n")) == (2, 1)
    assert "sets 'a_new_setting'" in errors
    assert f"this release of layerdropback, {__version__}, has no such setting" in errors
    del settings["erasing"]
    (began / "settings.yaml").write_text(yaml.safe_dump(settings))
    assert run("train", "--out", began, "--resume")[0] == 0


def test_export_of_such_a_run(run, began):
    rewrite(began, lambda state: (without("trainer", "ema")(state), other()(state)))
    assert run("export", began, "--to", "one.safetensors")[0] == 0
    rewrite(began, value_of("export", "spec", "activation", to="gelu"))
    code, _, errors = run("export", began, "--to", "two.safetensors")
    assert code == 2
    assert "release 9.8.7 of layerdropback wrote it" in errors
    assert "it differs in what it tells of its model: ['activation']" in errors


def test_metrics_come_back_as_they_were(trained):
    for number, row in enumerate(metrics_of(trained), start=1):
        assert EpochMetrics.from_dict(row, number).as_dict() == row
