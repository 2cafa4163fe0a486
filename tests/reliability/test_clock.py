"""A clock that is put forward and back: no result, no duration and no order depends on it."""

import itertools
import os
import re
import time
from pathlib import Path

import pytest
import torch

import layerdropback
from command import TINY, metrics_of
from layerdropback.lab.record import Record
from layerdropback.runs.checkpoint import Checkpoints
from resuming import SMALL, numbers, weights

HOURS = itertools.cycle([0, 5, -7, 11, -3])

# The day, for names and the foot of a page; nothing is made of it.
SHOWN = {
    ("lab/plan.py", "strftime"),
    ("lab/report/page.py", "strftime"),
    ("training/run_folder.py", "strftime"),
}
MONOTONIC = {"perf_counter", "monotonic", "sleep"}


@pytest.fixture
def jumping(monkeypatch):
    """Each look at the clock finds it some hours from where it was."""
    real = time.time

    def jumped():
        return real() + 3600 * next(HOURS)

    monkeypatch.setattr(time, "time", jumped)
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * jumped()))


@pytest.mark.slow
def test_a_run_is_the_same_and_its_seconds_are_right(run, tmp_path, jumping):
    flags = ["train", *SMALL, "--epochs", "2", "--checkpoint-every", "5"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 0.0)  # in 1970
        assert run(*flags, "--out", "whole")[0] == 0
    assert run(*flags, "--out", "run")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")
    for row in metrics_of(tmp_path / "run"):
        assert 0 < row["seconds"] < 600
        assert all(0 <= seconds < 600 for seconds in row["phases"].values())


@pytest.mark.slow
def test_a_comparison_is_the_same(run, tmp_path, jumping, known_times):
    flags = ["compare", *TINY, "--epochs", "2", "--seeds", "1"]
    for name in ("one", "other"):
        assert run(*flags, "--out", name)[0] == 0
    found = [Record.read(tmp_path / name) for name in ("one", "other")]
    kept = ("arm", "seed", "epoch", "train_loss", "test_accuracy")
    one, other = ([[row[k] for k in kept] for row in record.epochs] for record in found)
    assert one == other
    assert all(0 < row["seconds"] < 600 for row in found[0].epochs)


def test_of_one_step_the_checkpoint_that_was_written_last_counts(tmp_path):
    """Though the clock was put back by an hour in between."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    for number in range(3):
        path = checkpoints.save({"weight": torch.full((2,), float(number))}, step=7)
        os.utime(path, (path.stat().st_mtime + 3600, path.stat().st_mtime + 3600))
        assert list((tmp_path / "checkpoints").iterdir()) == [path]
        assert checkpoints.load()[0]["weight"][0] == number


def test_nothing_else_looks_at_it():
    source = Path(layerdropback.__file__).parent
    found = set()
    for file in source.rglob("*.py"):
        text, name = file.read_text(), file.relative_to(source).as_posix()
        found |= {(name, used) for used in re.findall(r"(?<!\.)\btime\.(\w+)", text)}
        assert not re.search(r"from time import|date(?:time)?\.(?:now|today|utcnow)\(", text), name
    assert {entry for entry in found if entry[1] not in MONOTONIC} == SHOWN
