"""A run that another release began: gone on with where the format is the same, else left."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from command import metrics_of
from layerdropback import __version__
from layerdropback.runs.checkpoint import FORMAT, _checksum
from layerdropback.training.config import TrainConfig
from layerdropback.training.export import KEY
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


def rewrite(folder, **changes):
    """Change the checkpoint as if another release had written it."""
    (file,) = (folder / "checkpoints").iterdir()
    state = torch.load(file, weights_only=True) | changes
    file.unlink()
    torch.save(state, folder / "new")
    name = f"step-{state['step']:09d}-{_checksum(folder / 'new')}.pt"
    os.rename(folder / "new", folder / "checkpoints" / name)
    return folder / "checkpoints" / name


# What format 3 is. Where a name comes or goes, raise `checkpoint.FORMAT` and change this list.
HELD = {
    "": "export format history kind run step trainer version",
    "export": "notes spec",
    "trainer": "crop_pct ema generators interpolation ldb mean model optimizer other_generators "
    "parts_of_large scaler so_far std steps",
    "so_far": "backward_saved correct epoch loss lost lr lr_factor lr_last phases samples seconds "
    "sent share_dropped skipped steps unreadable",
    "history": "batch_size epoch images_per_second lr lr_factor lr_last mode parts "
    "peak_memory_mib phases seconds share_dropped skipped steps test_accuracy test_loss "
    "train_accuracy train_loss",
}


def test_what_a_checkpoint_holds_is_its_format(began):
    (file,) = (began / "checkpoints").iterdir()
    state = torch.load(file, weights_only=True)
    parts = {"": state, "export": state["export"], "trainer": state["trainer"]}
    parts |= {"so_far": state["trainer"]["so_far"], "history": state["history"][0]}
    assert state["format"] == 3
    assert {name: " ".join(sorted(part)) for name, part in parts.items()} == HELD


def test_one_of_the_same_format_is_gone_on_with(run, trained, began):
    rewrite(began, version="9.8.7")
    code, output, errors = run("train", "--out", began, "--resume")
    assert (code, errors) == (0, "")
    assert f"release 9.8.7 of layerdropback wrote it, and this is {__version__}" in output
    assert "resumed from step-000000004" in output
    assert len(metrics_of(began)) == 2
    name = "weights.safetensors"
    assert (began / name).read_bytes() == (trained / name).read_bytes()


def test_a_setting_that_came_later_was_what_it_is_by_default(run, trained, began):
    (file,) = (began / "checkpoints").iterdir()
    settings = torch.load(file, weights_only=True)["run"]
    del settings["erasing"], settings["bn_eval"]
    rewrite(began, version="0.0.9", run=settings)
    assert run("train", "--out", began, "--resume")[0] == 0
    assert metrics_of(began)[1]["train_loss"] == metrics_of(trained)[1]["train_loss"]


@pytest.mark.parametrize("command", ["train", "export"])
@pytest.mark.parametrize("release", ["9.8.7", __version__])
def test_one_of_another_format_is_told_and_left(run, began, command, release):
    """A checkout's number stays, whatever is changed in it."""
    file = rewrite(began, format=FORMAT + 1, version=release)
    before = {path.name: path.read_bytes() for path in began.iterdir() if path.is_file()}
    flags = {"train": ("--out", began, "--resume"), "export": (began, "--to", "x.safetensors")}
    code, _, errors = run(command, *flags[command])
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{file} cannot be used. Cause: " in errors
    assert f"it has format {FORMAT + 1}, and this release reads {FORMAT}" in errors
    named = {"9.8.7": f"and this is {__version__}", __version__: f"though named {__version__}"}
    assert named[release] in errors
    assert "nothing was changed" in errors
    assert "--overwrite" not in errors
    assert list((began / "checkpoints").iterdir()) == [file]
    assert {path.name: path.read_bytes() for path in began.iterdir() if path.is_file()} == before


def test_no_older_one_is_taken_in_its_place(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    keep(tmp_path / "run", 8)
    file = rewrite(tmp_path / "run", format=FORMAT + 1, version="9.8.7")
    older = [path for path in (trained / "checkpoints").iterdir() if "step-000000004" in path.name]
    shutil.copy(older[0], tmp_path / "run" / "checkpoints")
    code, _, errors = run("train", "--out", "run", "--resume")
    assert code == 2
    assert "release 9.8.7 of layerdropback wrote it" in errors
    assert file.exists()


def test_a_checkpoint_of_something_else_says_of_what(run, began):
    rewrite(began, kind="comparison")
    code, _, errors = run("export", began, "--to", "x.safetensors")
    assert code == 2
    assert "is of a comparison, not of a training" in errors


def test_files_of_other_names_are_no_reason_to_begin_again(run, began):
    (file,) = (began / "checkpoints").iterdir()
    os.rename(file, began / "checkpoints" / "epoch-1.pt")
    facts = json.loads((began / "machine.json").read_text())
    facts["versions"]["layerdropback"] = "9.9.9"
    (began / "machine.json").write_text(json.dumps(facts))
    (began / "metrics.jsonl").write_text("")
    code, output, errors = run("train", "--out", began, "--resume")
    assert code == 2
    assert "from the beginning" not in output
    assert "epoch-1.pt cannot be used. Cause: release 9.9.9 of layerdropback wrote it" in errors


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


def test_weights_whose_model_this_release_cannot_describe(run, trained, tmp_path):
    weights = trained / "weights.safetensors"
    with safe_open(weights, framework="pt") as file:
        notes = json.loads(file.metadata()[KEY])
    notes["spec"]["activation"], notes["version"] = "gelu", "9.8.7"
    save_file(load_file(weights), tmp_path / "other.safetensors", {KEY: json.dumps(notes)})
    code, _, errors = run("evaluate", "other.safetensors")
    assert code == 2
    assert "release 9.8.7 of layerdropback wrote it" in errors
    assert "it differs in what it tells of its model: ['activation']" in errors
