import csv
import json
import sys

import pytest

from layerdropback import UsageError
from layerdropback.runs.folder import BOARD, LINES, TABLE
from layerdropback.training.journal import Journal, require_tensorboard


def epoch(number, **changes):
    metrics = {
        "epoch": number,
        "mode": "full",
        "train_loss": 0.5 / number,
        "phases": {"forward": 1.25, "backward": 2.5},
        "peak_memory_mib": None,
    }
    return metrics | changes


def lines(folder):
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


def rows(folder):
    with (folder / TABLE).open(newline="") as file:
        return list(csv.reader(file))


HEADER = ["epoch", "mode", "train_loss", "seconds_forward", "seconds_backward", "peak_memory_mib"]


def test_each_epoch_is_on_the_disk_at_once(tmp_path):
    with Journal(tmp_path, [], tensorboard=False) as journal:
        assert (lines(tmp_path), rows(tmp_path)) == ([], [])
        journal.add(epoch(1))
        assert lines(tmp_path) == [epoch(1)]
        journal.add(epoch(2, mode="a,b"))
        assert lines(tmp_path) == [epoch(1), epoch(2, mode="a,b")]
        table = rows(tmp_path)
    assert table == [
        HEADER,
        ["1", "full", "0.5", "1.25", "2.5", ""],
        ["2", "a,b", "0.25", "1.25", "2.5", ""],
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == [TABLE, LINES]


def test_a_resumed_run_holds_exactly_its_history(tmp_path):
    with Journal(tmp_path, [], tensorboard=False) as journal:
        for number in (1, 2, 3):
            journal.add(epoch(number))
    whole = [(tmp_path / name).read_bytes() for name in (LINES, TABLE)]
    with (tmp_path / LINES).open("a") as file:
        file.write('{"epoch": 4, "mo')  # it was killed here
    with Journal(tmp_path, [epoch(1)], tensorboard=False) as journal:
        assert lines(tmp_path) == [epoch(1)]
        assert [row[0] for row in rows(tmp_path)] == ["epoch", "1"]
        journal.add(epoch(2))
        journal.add(epoch(3))
    assert [(tmp_path / name).read_bytes() for name in (LINES, TABLE)] == whole


def test_the_tables_header_is_that_of_the_first_row(tmp_path):
    with Journal(tmp_path, [{"epoch": 1, "a": 1.5}], tensorboard=False) as journal:
        journal.add({"epoch": 2, "b": 7})
    assert rows(tmp_path) == [["epoch", "a"], ["1", "1.5"], ["2", ""]]
    assert lines(tmp_path)[1] == {"epoch": 2, "b": 7}


def test_no_line_holds_what_is_no_json(tmp_path):
    with Journal(tmp_path, [], tensorboard=False) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.add(epoch(1, train_loss=float("nan")))
        assert (lines(tmp_path), rows(tmp_path)) == ([], [])


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / TABLE).mkdir()
    with pytest.raises(UsageError, match=f"^cannot write the metrics in {tmp_path}. Cause: "):
        Journal(tmp_path, [], tensorboard=False)
    with pytest.raises(UsageError, match="metrics in .*missing.*No such file"):
        Journal(tmp_path / "missing", [], tensorboard=False)


def test_a_full_disk_is_told(tmp_path):
    with Journal(tmp_path, [], tensorboard=False) as journal:
        (tmp_path / LINES).unlink()
        (tmp_path / LINES).symlink_to("/dev/full")
        with pytest.raises(UsageError, match="No space left on device.*Cure: make room"):
            journal.add(epoch(1))


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / BOARD), purge_orphaned_data=True)
    board.Reload()
    tags = board.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in tags}


def test_tensorboard_shows_numbers_by_epoch_and_forgets_what_came_after_the_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    with Journal(tmp_path, [], tensorboard=True) as journal:
        for number in (1, 2, 3):
            journal.add(epoch(number))
            assert len(scalars(tmp_path)["train_loss"]) == number, "at once"
    assert scalars(tmp_path).keys() == {"train_loss", "seconds_forward", "seconds_backward"}
    with Journal(tmp_path, [epoch(1)], tensorboard=True) as journal:
        journal.add(epoch(2, train_loss=8.0))
    assert scalars(tmp_path)["train_loss"] == [(1, 0.5), (2, 8.0)]
    with Journal(tmp_path, [], tensorboard=True) as journal:
        journal.add(epoch(1, train_loss=4.0))
    assert scalars(tmp_path)["train_loss"] == [(1, 4.0)]


def test_tensorboard_may_join_later(tmp_path):
    pytest.importorskip("tensorboard")
    with Journal(tmp_path, [epoch(1), epoch(2)], tensorboard=True) as journal:
        journal.add(epoch(3))
    assert [step for step, _ in scalars(tmp_path)["train_loss"]] == [1, 2, 3]


def test_without_tensorboard_nothing_is_touched(tmp_path, monkeypatch):
    (tmp_path / LINES).write_text("old\n")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(UsageError, match="^--tensorboard is not usable. .*pip install tensorboard"):
        require_tensorboard()
    with pytest.raises(UsageError, match="--tensorboard"):
        Journal(tmp_path, [], tensorboard=True)
    assert (tmp_path / LINES).read_text() == "old\n"
