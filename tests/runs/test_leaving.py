import pytest

from layerdropback.errors import UsageError, WorkerError
from layerdropback.runs.leaving import absent, nothing_left


def begin(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".lock", "settings.yaml"):
        (folder / name).write_text("new")


def refused(folder, error=UsageError, **more):
    with pytest.raises(error), nothing_left(folder, ("settings.yaml",), **more):
        begin(folder)
        raise error("refused")


def test_a_new_folder_goes_with_those_made_for_it(tmp_path):
    refused(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "settings.yaml").write_text("old")
    refused(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "settings.yaml"]


def test_what_others_put_there_stays(tmp_path):
    with pytest.raises(UsageError), nothing_left(tmp_path / "new"):
        begin(tmp_path / "new")
        raise UsageError("refused")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["settings.yaml"]


def test_all_stays_once_something_is_worth_it(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "step-1.pt").write_text("a checkpoint")
    refused(tmp_path / "new", keep="*.pt")
    assert len(list((tmp_path / "new").iterdir())) == 3


@pytest.mark.parametrize("error", [WorkerError, OSError])
def test_other_errors_leave_it_to_be_looked_at(tmp_path, error):
    """torchrun starts lost workers anew; a full disk is no refusal."""
    refused(tmp_path / "new", error=error)
    assert (tmp_path / "new" / "settings.yaml").exists()


def test_what_is_absent(tmp_path):
    assert absent(tmp_path) == []
    assert absent(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]


def test_an_empty_folder_inside_goes_too(tmp_path):
    """Of checkpoints that did not fit on the disk."""
    new = absent(tmp_path / "new" / "checkpoints")
    with pytest.raises(UsageError), nothing_left(tmp_path / "new", ("settings.yaml",), new=new):
        begin(tmp_path / "new")
        (tmp_path / "new" / "checkpoints").mkdir()
        raise UsageError("refused")
    assert list(tmp_path.iterdir()) == []
