"""Checkpoints on the disk: written whole, read only when they are intact."""

import os
import resource
import signal

import pytest
import torch

from layerdropback import UsageError
from layerdropback.runs.checkpoint import Checkpoints


def state(value):
    return {"weights": torch.full((100,), float(value)), "run": "this one"}


def accept(found):
    return None if found["run"] == "this one" else "is of another run"


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (1, 2, 3):
        checkpoints.save(state(step), step)
    return checkpoints


def files(checkpoints):
    return sorted(checkpoints.folder.iterdir())


def test_the_last_ones_are_kept_and_the_newest_is_read(checkpoints):
    assert [path.name[:14] for path in files(checkpoints)] == ["step-000000002", "step-000000003"]
    found, path, problems = checkpoints.load(accept)
    torch.testing.assert_close(found["weights"], torch.full((100,), 3.0))
    assert (path, problems) == (files(checkpoints)[1], [])
    assert torch.load(path, weights_only=True)["step"] == 3


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def foreign_bytes(path):
    path.write_bytes(os.urandom(1000))


def unreadable(path):
    path.unlink()
    path.mkdir()


SPOILED = [
    (truncate, "is damaged"),
    (empty, "is empty"),
    (flip, "is damaged"),
    (foreign_bytes, "is damaged"),
    (unreadable, "cannot be read"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_a_damaged_one_is_told_and_the_one_before_it_is_read(checkpoints, spoil, words):
    spoil(files(checkpoints)[1])
    found, _, problems = checkpoints.load(accept)
    assert found["step"] == 2
    assert len(problems) == 1
    assert problems[0].startswith("step-000000003-")
    assert words in problems[0]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_where_none_is_good_it_stops(checkpoints, spoil, words):
    for path in files(checkpoints):
        spoil(path)
    with pytest.raises(
        UsageError, match="no checkpoint in .* can be used. Cause: step-.*"
    ) as error:
        checkpoints.load(accept)
    assert str(error.value).count(words) == 2
    assert "\n" not in str(error.value)


def test_one_of_another_run_is_not_taken(checkpoints):
    checkpoints.save(state(4) | {"run": "another"}, 4)
    found, _, problems = checkpoints.load(accept)
    assert found["step"] == 3
    assert "is of another run" in problems[0]


def rename_to_fit(path):
    """Give a file of anything the checksum that its content has."""
    from layerdropback.runs.checkpoint import _checksum

    path.rename(path.with_name(f"step-000000009-{_checksum(path)}.pt"))


def test_intact_files_that_are_no_checkpoints(checkpoints):
    file = checkpoints.folder / "x"
    for content, words in (
        (torch.ones(2), "is no checkpoint of ldb"),
        ({"weights": 9}, "is no checkpoint of ldb"),
    ):
        torch.save(content, file)
        rename_to_fit(file)
        found, _, problems = checkpoints.load(accept)
        assert found["step"] == 3
        assert problems[0].endswith(words)
        files(checkpoints)[-1].unlink()
    (checkpoints.folder / "x").write_text("no zip file")
    rename_to_fit(file)
    assert checkpoints.load(accept)[2][0].endswith("is no checkpoint")


def test_other_files_are_left_alone(checkpoints):
    (checkpoints.folder / "notes.txt").write_text("mine")
    (checkpoints.folder / "step-1.pt").write_text("mine too")
    checkpoints.save(state(4), 4)
    checkpoints.clear()
    assert [path.name for path in files(checkpoints)] == ["notes.txt", "step-1.pt"]
    assert checkpoints.load(accept) is None


def test_what_a_killed_run_left_is_removed(checkpoints):
    (checkpoints.folder / "unnamed.pt").write_text("half")
    (checkpoints.folder / "unnamed.pt.partial").write_text("half")
    checkpoints.clear_partial()
    assert len(files(checkpoints)) == 2


def test_a_full_disk_leaves_the_old_ones(checkpoints):
    """A limit on the size of files stands for the full disk."""
    before = files(checkpoints)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large|write"):
            checkpoints.save({"weights": torch.ones(10**6)}, 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert files(checkpoints) == before
    assert checkpoints.load(accept)[0]["step"] == 3


def test_damaged_ones_are_set_aside_and_count_no_more(checkpoints):
    flip(files(checkpoints)[1])
    bad = files(checkpoints)[1].name
    assert checkpoints.load(accept)[0]["step"] == 2
    assert f"{bad}.unusable" in [path.name for path in files(checkpoints)]
    assert checkpoints.load(accept)[2] == []
    checkpoints.save(state(3), 3)
    assert [path.name[5:14] for path in files(checkpoints) if path.suffix == ".pt"] == [
        "000000002",
        "000000003",
    ]


def test_a_lack_of_memory_is_not_taken_for_damage(checkpoints, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(RuntimeError, match="allocate"):
        checkpoints.load(accept)
    assert len(files(checkpoints)) == 2


def test_a_failed_writer_is_not_taken_for_the_error_that_was_being_handled(tmp_path, monkeypatch):
    """A run whose reader was killed saves while it handles that."""

    def fail(*arguments):
        raise RuntimeError("the writer failed")

    monkeypatch.setattr(torch, "save", fail)
    try:
        raise ConnectionResetError("before")
    except ConnectionResetError:
        with pytest.raises(OSError, match="the writer failed"):
            Checkpoints(tmp_path, keep=1).save({}, 1)
