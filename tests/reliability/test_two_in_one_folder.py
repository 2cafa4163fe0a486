"""Two processes in one folder: the second is refused, and a killed one holds nothing."""

import os
import signal

import pytest

from command import TINY
from layerdropback.runs.claim import claimed

USE = "is in use. Cause: another process is training there. Cure: wait for it, or give another"
SWEEP = ["--rates", "0.5", "--strategies", "truncate", "--every", "1"]
COMMANDS = {
    "train": ["train", *TINY, "--epochs", "1"],
    "compare": ["compare", *TINY, "--epochs", "2", "--seeds", "1"],
    "sweep": ["sweep", *TINY, "--epochs", "4", "--seeds", "1", *SWEEP],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "more",
    [["--resume"], *(pytest.param(more, marks=pytest.mark.slow) for more in (["--overwrite"], []))],
    ids=["resume", "overwrite", "new"],
)
def test_the_second_is_refused_and_touches_nothing(run, tmp_path, name, more):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "mine.txt").write_text("of the first")
    with claimed(tmp_path / "place"):
        code, _, errors = run(*COMMANDS[name], "--out", "place", *more)
    assert (code, errors.count("\n")) == (2, 1)
    assert (USE if more or name == "train" else "--out place is not empty") in errors
    left = sorted(path.name for path in (tmp_path / "place").iterdir())
    assert left == [".lock", "mine.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compare", "sweep"])
def test_a_comparison_that_is_under_way_is_not_joined(run, tmp_path, name, known_times):
    assert run(*COMMANDS[name], "--out", "place")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "place").iterdir()}
    with claimed(tmp_path / "place"):
        code, _, errors = run(*COMMANDS[name], "--out", "place", "--resume")
    assert code == 2
    assert USE in errors
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "place").iterdir()}
    lock = tmp_path / "place" / ".lock"
    assert after | {lock: 0} == before | {lock: 0}


def test_a_killed_process_holds_nothing(tmp_path):
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with claimed(tmp_path):
                os.write(its, b"x")
                signal.pause()
        finally:
            os._exit(1)
    os.read(ours, 1)
    with pytest.raises(ValueError, match=USE), claimed(tmp_path):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(its)
    with claimed(tmp_path):
        pass
    assert (tmp_path / ".lock").exists(), "the file stays, and means nothing"
