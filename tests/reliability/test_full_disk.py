"""A disk that is full: one line, nothing half written, and all goes on once there is room."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import benchmarks.common.card_files as cards
from command import TINY
from forking import Forker
from layerdropback.lab.comparison import _Comparison
from layerdropback.lab.record import Record
from layerdropback.training.loop import Trainer
from resuming import SMALL, numbers, weights

SLOW = pytest.mark.slow
FULL = "No space left on device"


class Full:
    """No room for files of these names: half of something is in them, and what was there stays."""

    def __init__(self, patch):
        self.names, self._open = (), Path.open
        patch.setattr(Path, "open", lambda *given, **more: self.open(*given, **more))

    def __call__(self, *names):
        self.names = names

    def open(self, path, mode="r", *rest, **more):
        if mode[0] in "wa" and path.name.removesuffix(".partial") in self.names:
            with self._open(path, mode[0] + "b") as file:
                file.write(b"ha")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # without a name, as of write()
        return self._open(path, mode, *rest, **more)


@pytest.fixture
def full(monkeypatch):
    return Full(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["settings.yaml", "machine.json", "metrics.csv"])
def test_where_a_run_cannot_begin_nothing_is_left_half(run, tmp_path, full, name):
    full(name)
    code, _, errors = run("train", *SMALL, "--epochs", "1", "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"Cause: {FULL}" in errors.replace("[Errno 28] ", "")
    assert "room" in errors.partition("Cure: ")[2]
    left = [path.name for path in tmp_path.rglob("*") if path.suffix in (".partial", ".pt")]
    assert left == []
    full()
    assert run("train", *SMALL, "--epochs", "1", "--out", "run", "--resume")[0] == 0


@pytest.mark.parametrize("name", ["metrics.jsonl", pytest.param("metrics.csv", marks=SLOW)])
def test_a_row_of_metrics_ends_the_run_which_goes_on(run, tmp_path, unbroken, full, name):
    out, flags = unbroken
    real = Trainer.train_epoch

    def filling(trainer, epoch, *more):
        full(*([name] if epoch == 1 else []))
        return real(trainer, epoch, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", filling)
        code, _, errors = run("train", *flags, "--out", "run")
    full()
    assert (code, errors.count("\n")) == (2, 1)
    assert f"cannot write the metrics in run. Cause: [Errno 28] {FULL}. Cure: make room, then" in (
        errors
    )
    code, output, _ = run("train", "--out", "run", "--resume")
    assert code == 0
    assert "epoch 2 of 3 done" in output, "its checkpoint was there before"
    assert weights(tmp_path / "run") == weights(out)
    assert numbers(tmp_path / "run") == numbers(out)


@pytest.mark.slow
def test_a_comparison_ends_and_goes_on(run, tmp_path, known_times, full, monkeypatch):
    monkeypatch.setattr("layerdropback.lab.storing.SAVE_EVERY", -1.0)
    flags = ["compare", *TINY, "--epochs", "2", "--seeds", "1", "--out", "lab"]
    real = _Comparison._after_turn

    def filling(comparison, *turn):
        full(*(["comparison.json"] if len(comparison.record.epochs) == 2 else []))
        real(comparison, *turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Comparison, "_after_turn", filling)
        code, _, errors = run(*flags)
    full()
    assert (code, errors.count("\n")) == (2, 1)
    assert f"cannot save the comparison in lab. Cause: {FULL}. Cure: see that the folder" in errors
    assert len(Record.read(tmp_path / "lab").epochs) == 2, "the last good one stays"
    code, output, errors = run(*flags, "--resume")
    assert (code, errors) == (0, "")
    assert "resumed: " in output
    assert Record.read(tmp_path / "lab").finished_seeds() == [0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.md", "epochs.csv"])
def test_a_page_ends_in_one_line(run, tmp_path, unbroken, full, name):
    out, _ = unbroken
    full(name)
    code, _, errors = run("report", out, "--out", "page")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"cannot write the report in page. Cause: {FULL}. Cure: give another" in errors
    assert not list((tmp_path / "page").glob(f"{name}*"))
    full()
    assert run("report", out, "--out", "page")[0] == 0


@pytest.mark.parametrize("name", ["card.md", "card.csv", "card.json.gz"])
def test_a_card_is_whole_or_the_old_one(tmp_path, full, name):
    text = "# A\n\n| arm | n |\n| --- | - |\n| ldb | {} |\n"
    cards.write(tmp_path / "card", text.format(1), {"n": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    full(name)
    with pytest.raises(OSError, match=FULL):
        cards.write(tmp_path / "card", text.format(2), {"n": 2})
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after[name] == before[name]


# ---- a real one, of a file system in memory ----------------------------------------------------


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A process whose ``disk`` is a file system of its own; and how that is seen from here."""
    folder = tmp_path_factory.mktemp("disk")
    disk = folder / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=16m tmpfs "{disk}" && exec "$@"'
    try:
        forker = Forker(folder, ("unshare", "-rm", "sh", "-c", mount, "sh"))
    except (OSError, AssertionError):
        pytest.skip("no file system can be mounted here (unshare)")
    yield forker, disk, Path(f"/proc/{forker.pid}/root{disk}")
    forker.close()


def free(seen):
    status = os.statvfs(seen)
    return status.f_bavail * status.f_frsize


def fill(seen, left):
    """Leave so many bytes."""
    (seen / "ballast").write_bytes(bytes(max(0, free(seen) - left)))


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 5_000, 100_000, 2_600_000, 5_000_000, 9_000_000])
def test_a_run_on_a_small_disk(small_disk, tmp_path, left):
    """Whatever it is that does not fit: settings, a row, a checkpoint or the weights."""
    forker, disk, seen = small_disk
    flags, run = ["train", *SMALL, "--epochs", "3", "--threads", "1"], seen / f"run{left}"
    assert forker.run(*flags, "--out", tmp_path / "whole") == 0
    fill(seen, left)
    before = forker.log.stat().st_size
    code = forker.run(*flags, "--out", disk / run.name)
    said = forker.log.read_text()[before:]
    assert "Traceback" not in said
    assert FULL in said
    assert (code, said.count("ldb: error: ")) in ((0, 0), (2, 1)), said
    assert code == 2 or "ldb: warning: no checkpoint could be saved" in said
    (seen / "ballast").unlink()
    if code == 2:
        assert forker.run(*flags, "--resume", "--out", disk / run.name) == 0, forker.log.read_text()
    assert weights(run) == weights(tmp_path / "whole")
    assert numbers(run) == numbers(tmp_path / "whole")
    assert not list(run.rglob("*.partial"))
    shutil.rmtree(run)
