"""Everything that can be wrong with what is resumed, or overwritten (issue 3)."""

import sys
import warnings

import pytest

from command import metrics_of, stop_after
from layerdropback.training.loop import Trainer
from resuming import SMALL, weights


def damage(run_folder, newest=True):
    files = sorted((run_folder / "checkpoints").iterdir())
    for file in files[-1:] if newest else files:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 8
        file.write_bytes(data)
    return files


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(run, tmp_path, unbroken):
    out, _ = unbroken
    before = weights(out)
    (out / "weights.safetensors").unlink()
    older, newer = damage(out)
    code, output, errors = run("train", "--out", out, "--resume")
    assert (code, errors) == (0, "")
    assert f"checkpoint {newer.name} is damaged" in output
    assert f"going back to {older.name}" in output
    assert "epoch 2 of 3 done" in output
    assert weights(out) == before
    assert len(metrics_of(out)) == 3


def test_without_a_good_checkpoint_it_stops_and_nothing_is_lost(run, tmp_path, unbroken):
    out, _ = unbroken
    before = (out / "metrics.jsonl").read_text()
    files = damage(out, newest=False)
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert errors.count("\n") == 1
    assert "no checkpoint in" in errors
    assert all(file.name in errors for file in files)
    assert "begin again with --overwrite" in errors
    for file in files:
        file.unlink()
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert "has metrics of finished epochs, but no checkpoint" in errors
    assert (out / "metrics.jsonl").read_text() == before


def test_a_run_that_was_killed_before_it_saved_says_so(run, tmp_path, unbroken):
    whole, flags = unbroken
    out = tmp_path / "early"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", lambda *_: (_ for _ in ()).throw(OSError("power")))
        assert run("train", *flags, "--out", out)[0] == 2
    code, output, _ = run("train", "--out", out, "--resume")
    assert code == 0
    assert "no checkpoint was saved before the stop: from the beginning" in output
    assert weights(out) == weights(whole)


def test_a_checkpoint_of_another_run_is_not_taken(run, tmp_path, unbroken):
    out, flags = unbroken
    other = tmp_path / "other"
    assert run("train", *flags, "--seed", 5, "--out", other)[0] == 0
    for file in (other / "checkpoints").iterdir():
        (out / "checkpoints" / file.name).write_bytes(file.read_bytes())
    for file in (out / "checkpoints").iterdir():
        if not (other / "checkpoints" / file.name).exists():
            file.unlink()
    code, _, errors = run("train", "--out", out, "--resume")
    assert code == 2
    assert "is of another run (seed is 0 here and 5 there)" in errors


def test_overwriting_removes_the_old_runs_checkpoints(run, tmp_path, unbroken):
    out, flags = unbroken
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        assert run("train", *flags, "--out", out, "--overwrite")[0] == 143
    assert len(list((out / "checkpoints").iterdir())) == 1
    assert (out / "metrics.jsonl").read_text() == ""
    assert not (out / "weights.safetensors").exists()


def test_a_disk_that_fills_up_stops_no_training(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("layerdropback.runs.checkpoint._write", full)
    warnings.simplefilter("default")
    code, _, errors = run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "run")
    assert code == 0
    assert "ldb: warning: no checkpoint could be saved after 12 steps. Cause: No space" in errors
    stop_after(monkeypatch, 2)
    code, _, errors = run("train", *SMALL, "--epochs", 1, "--out", tmp_path / "other")
    assert code == 2
    assert "stopped, but no checkpoint could be saved after 2 steps" in errors


def test_what_is_missing_is_told_before_anything_is_removed(run, tmp_path, unbroken, monkeypatch):
    out, flags = unbroken
    before = weights(out)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    code, _, errors = run("train", *flags, "--out", out, "--overwrite", "--tensorboard")
    assert code == 2
    assert "--tensorboard is not usable" in errors
    assert weights(out) == before


def test_a_run_that_began_meanwhile_is_not_removed(run, tmp_path, unbroken, monkeypatch):
    """Reading the data may take minutes, in which another process may begin in the same folder."""
    out, flags = unbroken
    hidden = out.rename(tmp_path / "hidden")
    make = Trainer.__init__

    def slow(*arguments, **settings):
        make(*arguments, **settings)
        hidden.rename(out)

    monkeypatch.setattr(Trainer, "__init__", slow)
    code, _, errors = run("train", *flags, "--out", out)
    assert code == 2
    assert "already has settings.yaml" in errors
    assert (out / "weights.safetensors").exists()
