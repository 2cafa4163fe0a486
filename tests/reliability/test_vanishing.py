"""A folder that is moved, removed or made read-only while a run is in it."""

import errno
import os
import shutil
import warnings

import pytest

from command import TINY
from layerdropback.training.metrics import Tally
from resuming import SMALL, numbers, weights


def after_steps(patch, steps, happening):
    """Something that happens when so many steps are done."""
    add, calls = Tally.add, 0

    def counted(tally, *arguments):
        nonlocal calls
        calls += 1
        if calls == steps:
            happening()
        return add(tally, *arguments)

    patch.setattr(Tally, "add", counted)


@pytest.mark.parametrize("steps", [3, pytest.param(14, marks=pytest.mark.slow)])
def test_a_runs_folder_that_is_removed_is_missed(run, tmp_path, steps):
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, steps, lambda: shutil.rmtree(tmp_path / "run"))
        code, _, errors = run("train", *SMALL, "--epochs", "3", "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert (
        "run is gone. Cause: it was moved or removed while the run was in it. Cure: put it back "
        "and go on with --resume, or begin anew." in errors
    )
    assert not (tmp_path / "run").exists(), "half of one would be taken for a whole one"


@pytest.mark.slow
def test_one_that_is_moved_goes_on_where_it_is(run, tmp_path, unbroken):
    whole, flags = unbroken
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, 14, lambda: (tmp_path / "run").rename(tmp_path / "moved"))
        assert run("train", *flags, "--out", "run")[0] == 2
    assert run("train", "--out", "moved", "--resume")[0] == 0
    assert weights(tmp_path / "moved") == weights(whole)
    assert numbers(tmp_path / "moved") == numbers(whole)


@pytest.mark.slow
def test_checkpoints_that_are_removed_are_made_again(run, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, 14, lambda: shutil.rmtree(tmp_path / "run" / "checkpoints"))
        assert run("train", *SMALL, "--epochs", "2", "--out", "run")[0] == 0
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


@pytest.mark.slow
def test_a_comparisons_folder_that_is_removed_is_missed(run, tmp_path, known_times, monkeypatch):
    monkeypatch.setattr("layerdropback.lab.storing.SAVE_EVERY", -1.0)
    from layerdropback.lab.comparison import _Comparison

    def removed(comparison, *_):
        shutil.rmtree(tmp_path / "lab")
        comparison._save()

    monkeypatch.setattr(_Comparison, "_after_turn", removed)
    code, _, errors = run("compare", *TINY, "--epochs", "2", "--seeds", "1", "--out", "lab")
    assert (code, errors.count("\n")) == (2, 1)
    assert (
        "cannot save the comparison in lab. Cause: No such file or directory. Cure: see" in errors
    )
    assert not (tmp_path / "lab").exists()


@pytest.mark.slow
def test_a_folder_that_becomes_read_only(run, tmp_path, unbroken):
    """Root may write anyway, so the system's answer is put in its place."""
    whole, flags = unbroken
    warnings.simplefilter("always")

    def refused(source, target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(source))

    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, 14, lambda: patch.setattr(os, "replace", refused))
        code, _, errors = run("train", *flags, "--out", "run")
    assert "ldb: warning: no checkpoint could be saved after 18 steps. Cause: Read-only" in errors
    assert (code, errors.count("ldb: error: ")) == (2, 1)
    assert "weights.safetensors. Cause: " in errors
    assert "Read-only file system" in errors
    assert run("train", "--out", "run", "--resume")[0] == 0
    assert weights(tmp_path / "run") == weights(whole)
