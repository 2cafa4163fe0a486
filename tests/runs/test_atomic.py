import os

import pytest

from layerdropback.runs.atomic import replace_atomically


def test_the_old_file_stays_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append((os.fstat(fd).st_ino, path.read_text())), fsync(fd))
    )

    def write(partial):
        assert partial == tmp_path / "file.partial"
        partial.write_text("new")
        assert path.read_text() == "old"

    replace_atomically(path, write)
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert synced == [(path.stat().st_ino, "old"), (tmp_path.stat().st_ino, "new")]


@pytest.mark.parametrize("error", [OSError("full"), ValueError("bad"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write(partial):
        partial.write_text("half")
        raise error

    with pytest.raises(type(error)):
        replace_atomically(path, write)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


def test_a_file_made_for_the_owner_alone_gets_ordinary_rights(tmp_path):
    def write(partial):
        partial.unlink()
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))

    (tmp_path / "stale.partial").touch(mode=0o600)  # of a process that was killed
    for name in ("fresh", "stale"):
        replace_atomically(tmp_path / name, write)
        (tmp_path / "plain").touch()
        assert (tmp_path / name).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_place_that_cannot_be_had(tmp_path):
    with pytest.raises(FileNotFoundError):
        replace_atomically(tmp_path / "missing" / "file", lambda partial: partial.touch())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_atomically(tmp_path / "folder", lambda partial: partial.touch())
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
