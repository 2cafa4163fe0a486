"""What a comparison says: one line that is replaced, and a result that fits a screen."""

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from command import stop_after
from layerdropback.lab.arms import Arm
from layerdropback.lab.plan import Plan
from layerdropback.lab.record import Record
from layerdropback.lab.report.results import COLUMNS, found_of, result_tables, tuning_lines
from layerdropback.lab.tables import rows_of
from layerdropback.lab.telling import SILENCE, Telling
from layerdropback.runs.stopping import Stopped
from layerdropback.tasks.arms import make_arms
from layerdropback.tasks.images import compare_images
from layerdropback.training.config import TrainConfig
from screen import screen

ROLES = {"plain": "plain", "ldb": "method", "plain@ldb": "same time"}


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self):
        return self.now


class Played:
    """As much of a `Player` as is told of."""

    def __init__(self, name, seed=0):
        self.arm, self.seed = Arm(name, None, 2, 0.1, ROLES[name]), seed


def record_of(seeds=2, saved=None, **more):
    arms = [
        {"name": name, "role": role, "of": "ldb" if role == "same time" else None}
        | {"says": f"what {name} is", "settings": {"epochs": 2}}
        for name, role in ROLES.items()
    ]
    timing = {"seconds": 4.0, "ratio": 0.5, "error": 0.004, "n": 10}
    saved = saved or {"plain": {"full": 8 * 2**20}, "ldb": {"drop": 3 * 2**20}}
    pilot = {name: timing | {"saved": value} for name, value in saved.items()}
    data = {"name": "digits", "train": 96, "test": 40}
    return Record(
        "ldb compare", {}, data, {}, {}, arms, list(range(seeds)), 0.5, pilot=pilot, **more
    )


def play(record, telling, seeds):
    """Two epochs of a second of every arm."""
    for seed in range(seeds):
        for epoch in (1, 2):
            for place, name in enumerate(ROLES):
                row = {"arm": name, "seed": seed, "epoch": epoch, "mode": "full", "steps": 6}
                row |= {"seconds": 1.0, "test_accuracy": 90.0 + seed + place / 4}
                record.epochs.append(row)
                telling.epoch(record, Played(name, seed), row)
        telling.seed_done(record, seed)


def told(terminal, clock, seeds=4):
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100, legacy_windows=False)
    telling, record = Telling(console, clock), record_of(seeds)
    telling.begins(record, Path("runs/lab"))
    telling.passing("pilot: 3 rounds, times known to 1.0 %")
    telling.planned(record)
    clock.now = 10.0
    play(record, telling, seeds)
    telling.ends(record, Path("runs/lab/report.html"))
    return written.getvalue()


def test_without_a_terminal_each_seed_is_a_line_and_no_epoch_is():
    lines = told(False, Clock()).splitlines()
    assert [line for line in lines if line.startswith("seed ")] == [
        *("seed 0 done, 1 of 4; about 0:00:30 left", "seed 1 done, 2 of 4; about 0:00:10 left"),
        *("seed 2 done, 3 of 4; about 0:00:03 left", "seed 3 done, 4 of 4"),
    ]
    assert not [line for line in lines if "pilot: 3" in line or "epoch " in line]
    assert lines[0].startswith("comparing plain, ldb, plain@ldb on digits: 96 training and 40 test")
    assert lines[-1] == "the report is runs/lab/report.html"
    assert len(lines) < 20


def test_the_time_that_is_left_follows_the_machine_and_not_the_pilot():
    """Ten times as slow as the pilot found it."""
    clock, written = Clock(), io.StringIO()
    telling, record = Telling(Console(file=written, width=100), clock), record_of()
    clock.now = 60.0
    play(record, telling, 1)  # a half: six of twelve seconds, by the pilot
    assert written.getvalue() == "seed 0 done, 1 of 2; about 0:01:00 left\n"


def test_a_long_silence_without_a_terminal_is_broken():
    """Not every epoch, and not before the time is up."""
    clock, written = Clock(), io.StringIO()
    telling, record = Telling(Console(file=written, width=100), clock), record_of()
    row = {"seconds": 1.0, "test_accuracy": 90.0, "seed": 0, "arm": "plain", "epoch": 1}
    for clock.now in (SILENCE, SILENCE + 1, SILENCE + 2):
        record.epochs.append(row)
        telling.epoch(record, Played("plain"), row)
    assert written.getvalue() == "seed 0, plain, epoch 1/2: 90.00 %\n"


def test_on_a_terminal_one_line_is_replaced_and_none_is_left():
    written = told(True, Clock())
    for passed in ("pilot: 3 rounds", "seed 1, ldb, epoch 2/2: 91.25 %"):
        assert passed in written
    shown = screen(written)
    assert not [line for line in shown if "rounds" in line or line.startswith("seed ")]
    assert max(map(len, shown)) <= 100
    assert "the report is runs/lab/report.html" in shown
    assert not [line for line in shown if "\u2501" in line]


def test_sentences_are_broken_between_words_on_a_terminal_and_nowhere_else():
    text = "word " * 40
    for terminal, rows in ((True, 2), (False, 1)):
        written = io.StringIO()
        console = Console(file=written, force_terminal=terminal, width=100)
        Telling(console).say(text, wrap=True)
        assert len(written.getvalue().splitlines()) == rows
        Telling(console).say(text)  # a command is copied whole
        assert len(written.getvalue().splitlines()) == rows + 1


def test_the_table_has_what_matters_and_fits():
    record = record_of(4)
    play(record, Telling(Console(file=io.StringIO())), 4)
    table, _, says = result_tables(record).rpartition("\n")
    head, _, *rows = [line.strip("| ").split("|") for line in table.splitlines()]
    assert says == (
        "held MiB: tensors saved for the backward pass + gradients + optimizer states, "
        "each at its most"
    )
    assert [cell.strip() for cell in head] == [
        *("arm", "n", "accuracy, %", "to plain, points"),
        *("of plain's time", "held MiB"),
    ]
    found = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert found["plain"][0] == "4"
    assert found["plain"][1].startswith("91.50 +- ")
    assert found["ldb"][2].startswith("+0.25 [-")
    assert found["ldb"][3] == "1.00 [1.00, 1.00]"
    assert [cells[-1] for cells in found.values()] == ["8", "3", "8"]
    assert max(map(len, result_tables(record).splitlines())) <= 100


def test_a_report_has_both_kinds_of_steps_and_a_terminal_the_larger():
    record = record_of(saved={"plain": {"full": 2**20}, "ldb": {"full": 2**20, "drop": 2**19}})
    play(record, Telling(Console(file=io.StringIO())), 1)
    assert [row[-2] for row in rows_of(COLUMNS, found_of(record))] == ["1", "1 / 0.5", "1"]
    assert [row[-1] for row in rows_of(COLUMNS, found_of(record))] == ["", "", ""]  # not counted
    assert "| 1        |" in result_tables(record)


@pytest.mark.parametrize(
    ("mebibytes", "shown"), [(0.5, "0.5"), (74.31, "74.3"), (999.4, "999"), (12345.6, "12,346")]
)
def test_no_size_needs_an_exponent(mebibytes, shown):
    record = record_of(saved={name: {"full": mebibytes * 2**20} for name in ("plain", "ldb")})
    assert f"| {shown} " in result_tables(record)


def test_gradients_and_states_are_counted_where_they_are_seen():
    """States that come later than the pilot is are seen in the runs."""
    record = record_of()
    play(record, Telling(Console(file=io.StringIO())), 1)
    for name, states in (("plain", 20), ("ldb", 2)):
        record.pilot[name] |= {"gradients": 10 * 2**20, "states": states * 2**20}
    record.rows("ldb", 0)[1]["state_bytes"] = 5 * 2**20
    assert [row[-1] for row in rows_of(COLUMNS, found_of(record))] == [
        "10 / 20",
        "10 / 5",
        "10 / 20",
    ]
    for shown in ("| 8 + 10 + 20 |", "| 3 + 10 + 5  |"):
        assert shown in result_tables(record)


def test_tuning_is_a_line_for_each_arm():
    tried = [("plain", 0.1, 80.0), ("ldb", 0.1, 70.0), ("plain", 0.1, 90.0), ("plain", 9.0, None)]
    trials = [{"arm": arm, "lr": rate, "accuracy": found} for arm, rate, found in tried]
    assert tuning_lines(record_of(trials=trials)) == [
        "tuning plain, on images held out: lr 0.1 85.00 %, lr 9 diverged",
        "tuning ldb, on images held out: lr 0.1 70.00 %",
    ]


@pytest.mark.usefixtures("short_pilot", "no_drawings")
def test_a_stopped_comparison_says_so_on_a_terminal_and_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ldb", "compare", *["--name-of-a-flag"] * 10])
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, legacy_windows=False)
    config = TrainConfig(
        model="test_resnet", limit_train=96, limit_test=20, batch_size=16, epochs=2, out=Path("lab")
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 90)
        compare_images(config, make_arms(config), Plan((0, 1)), console)
    last = [line for line in screen(written.getvalue()) if line][-1]
    assert last.startswith("stopped, all saved; go on with: ldb compare --name-of-a-flag")
    assert last.endswith("--name-of-a-flag --out lab --resume")


@pytest.mark.usefixtures("short_pilot", "no_drawings")
def test_what_goes_on_names_the_folder_that_the_time_of_day_named(run):
    flags = ["compare", "--model", "test_resnet", "--limit-train", "24", "--limit-test", "20"]
    flags += ["--batch-size", "8", "--epochs", "2", "--seeds", "1"]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 60)
        code, output, _ = run(*flags)
    assert code == 143
    (folder,) = Path("runs").iterdir()
    again = output.rstrip().split("go on with: ldb ")[1]
    assert again.endswith(f"--out {folder} --resume")
    code, output, errors = run(*shlex.split(again))
    assert (code, errors) == (0, "")
    assert "resumed: " in output
    assert Record.read(folder).finished_seeds() == [0]
