"""The whole of ``ldb compare``, on the digits."""

import json
from dataclasses import replace

import pytest

from command import stop_after
from layerdropback.lab.comparison import _Comparison
from layerdropback.lab.packed import pack
from layerdropback.lab.record import Record, run_seconds
from layerdropback.lab.storing import Storing
from layerdropback.lab.tuning import FIRST_SEED
from layerdropback.tasks import images
from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer

TINY = ["--model", "test_resnet", "--limit-train", "48", "--limit-test", "20"]
TINY += ["--batch-size", "8", "--epochs", "3", "--lr-scale", "2"]
# The fewest steps that a full epoch may have.
THREE_STEPS = [*TINY, "--limit-train", "24"]
MEASURED = ("seconds", "images_per_second", "phases", "peak_memory_mib")


pytestmark = pytest.mark.usefixtures("short_pilot", "no_drawings")


def rows(folder):
    return [
        {key: value for key, value in row.items() if key not in MEASURED}
        for row in json.loads((folder / "comparison.json").read_text())["epochs"]
    ]


def test_a_comparison_trains_all_arms_and_ends_with_a_verdict(run, tmp_path):
    code, output, errors = run("compare", *THREE_STEPS, "--seeds", "2", "--out", "lab")
    assert (code, errors) == (0, "")
    record = Record.read(tmp_path / "lab")
    assert record.names() == ["plain", "ldb", "no-drop@ldb", "plain@ldb"]
    assert record.finished_seeds() == [0, 1]
    table = [line for line in output.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == record.names()
    assert all(line.split("|")[2].strip() == "2" for line in table[2:])
    assert "ldb: " in output
    assert "n = 2 seeds; 95 % t intervals over seeds, paired" in output
    assert output.splitlines()[-1] == "the report is lab/report.html"
    for row in record.epochs:
        drops = row["arm"] in ("ldb", "no-drop@ldb") and row["epoch"] == 2
        assert row["mode"] == ("drop" if drops else "full")
        assert (row["share_dropped"] > 0) == (row["arm"] == "ldb" and row["epoch"] == 2)
    saved = record.pilot["ldb"]["saved"]
    # Convolutions save their inputs whether or not their weights are trained.
    assert saved["drop"] <= saved["full"] == record.pilot["plain"]["saved"]["full"]
    moved = record.pilot["plain"]
    assert moved["gradients"] == moved["states"] > 0  # SGD with momentum
    assert {row["state_bytes"] for row in record.epochs} == {moved["states"]}


@pytest.mark.slow
def test_an_arm_is_the_run_that_ldb_train_makes(run, tmp_path):
    assert run("compare", *TINY, "--seeds", "1", "--seed", "5", "--out", "lab")[0] == 0
    assert run("train", *TINY, "--seed", "5", "--out", "alone")[0] == 0
    record = Record.read(tmp_path / "lab")
    alone = [
        json.loads(line)["train_loss"]
        for line in (tmp_path / "alone" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["train_loss"] for row in record.rows("ldb", 5)] == alone


@pytest.mark.slow
def test_one_seed_gives_no_verdict(run):
    code, output, _ = run("compare", *TINY, "--seeds", "1", "--epochs", "2")
    assert code == 0
    assert "ldb: not enough seeds: three or more are needed" in output


def as_if_never_stopped(record):
    """Every run is the one that it would be alone."""
    data = load_data("digits", limit_train=24, limit_test=20)
    for arm in record.arms:
        config = TrainConfig.from_dict({**arm["settings"], "keep": (), "milestones": (0.5,)})
        for seed in record.seeds:
            trainer = Trainer(replace(config, seed=seed), data)
            expected = [trainer.train_epoch(epoch) for epoch in range(config.epoch_count)]
            found = [row["train_loss"] for row in record.rows(arm["name"], seed)]
            assert found == [metrics.train_loss for metrics in expected]


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        pytest.param(5, "pilot", marks=pytest.mark.slow),
        (120, "runs"),
        pytest.param(90, "runs", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_comparison_goes_on(run, tmp_path, steps, where):
    flags = [*THREE_STEPS, "--seeds", "2", "--out", "lab"]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, steps)
        code, output, _ = run("compare", *flags)
    assert code == 143
    again = "stopped, all saved; go on with: ldb compare "
    assert again in output
    assert output.rstrip().endswith("--seeds 2 --out lab --resume")
    stopped = Record.read(tmp_path / "lab")
    assert bool(stopped.pilot) == (where == "runs")
    code, output, errors = run("compare", *flags, "--resume")
    assert (code, errors) == (0, "")
    assert "resumed: " in output
    record = Record.read(tmp_path / "lab")
    assert record.finished_seeds() == [0, 1]
    assert not list((tmp_path / "lab" / "checkpoints").glob("*.pt"))
    if where == "runs":
        assert record.pilot == stopped.pilot
        assert record.arms == stopped.arms
    as_if_never_stopped(record)


class Killed(BaseException):
    pass


def test_a_kill_after_a_seeds_last_row_loses_nothing(run, tmp_path):
    """It is not run again, and the next one does not begin where it ended."""
    flags = [*THREE_STEPS, "--epochs", "2", "--seeds", "2", "--out", "lab"]

    def killed(self):  # saved with the last row, and not once more
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Storing, "is_due", True)
        patch.setattr(_Comparison, "_close", killed)
        with pytest.raises(Killed):
            run("compare", *flags)
    record = Record.read(tmp_path / "lab")
    assert record.finished_seeds() == [0]
    dropped = record.dropped["ldb 0"]
    assert sum(dropped.values()) > 0
    assert run("compare", *flags, "--resume")[0] == 0
    record = Record.read(tmp_path / "lab")
    assert record.dropped["ldb 0"] == dropped
    as_if_never_stopped(record)


@pytest.mark.slow
def test_more_seeds_can_be_added(run, tmp_path):
    assert run("compare", *TINY, "--seeds", "1", "--out", "lab")[0] == 0
    before = rows(tmp_path / "lab")
    plain = tmp_path / "lab" / "comparison.json"
    (tmp_path / "lab" / "comparison.json.gz").write_bytes(pack(json.loads(plain.read_text())))
    plain.unlink()
    code, output, _ = run("compare", *TINY, "--seeds", "2", "--out", "lab", "--resume")
    assert code == 0
    assert "resumed: 1 seeds are done" in output
    assert rows(tmp_path / "lab")[: len(before)] == before
    record = Record.read(tmp_path / "lab")
    assert record.finished_seeds() == [0, 1]
    assert record.command.endswith("--seeds 2 --out lab --resume"), (
        "what made it, and goes on with it"
    )


@pytest.mark.slow
def test_another_comparison_is_not_gone_on_with(run):
    assert run("compare", *TINY, "--seeds", "1", "--out", "lab")[0] == 0
    code, _, errors = run("compare", *TINY, "--seeds", "1", "--out", "lab")
    assert code == 2
    assert "--out lab is not empty. Cause: something would be lost." in errors
    code, _, errors = run(
        "compare", *TINY, "--lr", "0.3", "--seeds", "1", "--out", "lab", "--resume"
    )
    assert code == 2
    assert "lr is 0.3 here and 0.05 there" in errors
    assert (
        run("compare", *TINY, "--lr", "0.3", "--seeds", "1", "--out", "lab", "--overwrite")[0] == 0
    )


@pytest.mark.slow
def test_a_grid_is_tuned_on_held_out_images_and_widened_at_its_edge(run, tmp_path, monkeypatch):
    """So low a grid that its upper edge is the best."""
    monkeypatch.setattr(images, "MOST", 100)
    grid = ["--lr-grid", "0.0005,0.0015,0.0045", "--tune-seeds", "2", "--seeds", "1"]
    code, output, _ = run("compare", *TINY, *grid, "--out", "lab")
    assert code == 0
    record = Record.read(tmp_path / "lab")
    assert record.held_out == 100  # of the digits that --limit-train leaves over
    assert {trial["seed"] for trial in record.trials} == {FIRST_SEED, FIRST_SEED + 1}
    assert not {trial["seed"] for trial in record.trials} & set(record.seeds)
    for arm in record.arms:
        tried = sorted({t["lr"] for t in record.trials if t["arm"] == arm["name"]})
        assert tried[:3] == [0.0005, 0.0015, 0.0045]
        assert arm["settings"]["lr"] == record.tuned[arm["name"]]
        assert tried[0] < record.tuned[arm["name"]] < tried[-1], "never at the edge"
    assert "(tuned on 100 images held out)" in output


@pytest.mark.slow
def test_a_learning_rate_that_diverges_loses(run, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST", 100)
    grid = ["--lr-grid", "0.01,0.05,1e20", "--seeds", "1"]
    code, output, _ = run("compare", *TINY, *grid, "--out", "lab")
    assert code == 0
    assert output.count(", lr 1e+20 diverged\n") == 4
    assert all(rate < 1 for rate in Record.read(tmp_path / "lab").tuned.values())


@pytest.mark.slow
def test_an_arm_that_diverges_is_named(run):
    code, _, errors = run("compare", *TINY, "--arm", "wild: lr=1e20", "--out", "lab")
    assert code == 2
    assert "wild with seed 0: the loss is " in errors
    assert "Cause: training diverged. Cure: use a smaller --lr, or --nonfinite skip." in errors


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seeds", "0"], "--seeds 0 is not usable. Cause: a whole number from 1 to 1000"),
        (["--margin", "0"], "--margin 0 is not usable. Cause: points in (0, 100] are needed."),
        (["--target", "101"], "--target 101.0 is not usable. Cause: a percentage"),
        (["--lr-grid", "0.1,0.2"], "--lr-grid 0.1,0.2 is not usable. Cause: three learning rates"),
        (["--lr-grid", "a"], "--lr-grid a is not usable. Cause: numbers with commas"),
        (["--lr-grid", "0.3,0.2,0.1"], "is not usable. Cause: they are to rise."),
        (["--drop-rate", "0"], "--drop-rate 0 leaves nothing to compare."),
        (["--arm", "x"], "--arm 'x' is not usable."),
        (["--batch-size", "40"], "has less than 3 steps in a full epoch"),
        (["--model", "resnet1"], "--model resnet1 is unknown."),
        (["--arm", "model=resnet1"], "--model resnet1 is unknown."),
    ],
)
def test_bad_input_is_one_line(run, flags, words):
    code, _, errors = run("compare", *TINY, *flags)
    assert code == 2
    assert words in errors
    assert errors.count("\n") == 1


def test_runs_are_timed_by_the_median_of_each_mode():
    def epoch(mode, seconds, steps=10):
        return {"mode": mode, "seconds": seconds, "steps": steps}

    assert run_seconds([epoch("full", 5.0)]) == 5.0
    noisy = [epoch("full", 9.0), epoch("drop", 1.0, 5), epoch("full", 2.0), epoch("drop", 7.0, 5)]
    noisy += [epoch("full", 2.2), epoch("drop", 1.2, 5), epoch("full", 2.1, 5)]
    # full: 35 steps of 0.22 s (0.2, 0.22, 0.42), drop: 15 steps of 0.24 s (0.2, 1.4, 0.24)
    assert run_seconds(noisy) == pytest.approx(35 * 0.22 + 15 * 0.24)
    # Where the drop epochs are to differ, no median stands for them.
    assert run_seconds(noisy, changing=True) == pytest.approx(35 * 0.22 + 1.0 + 7.0 + 1.2)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"strategy": "truncate", "ramp": "constant"}, 9.0),
        ({"strategy": "truncate"}, 9.0),
        ({"strategy": "truncate", "ramp": "falling"}, 12.0),
        # A strategy of earlier releases, whose cards are still read.
        ({"strategy": "adaptive", "ramp": "constant"}, 12.0),
    ],
)
def test_a_ramps_epochs_count_as_they_are(settings, seconds):
    """By the median of those that are warm a falling rate would seem to take longer."""
    rows = [
        {"arm": "ldb", "seed": 0, "epoch": n, "mode": "drop", "steps": 10, "seconds": s}
        | {"test_accuracy": 50.0}
        for n, s in enumerate((6.0, 3.0, 3.0), start=1)
    ]
    arm = {"name": "ldb", "role": "method", "of": None, "settings": settings | {"epochs": 3}}
    record = Record("", {}, {}, {}, {}, [arm], [0], 0.5, epochs=rows)
    assert record.measured("ldb").seconds == [seconds]
