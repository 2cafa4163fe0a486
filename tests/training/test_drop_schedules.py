"""Ramps, a full end, step periods and pools of masks, from the command line."""

import pytest

from command import metrics_of
from layerdropback.lab.record import Record

SMALL = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20", "--batch-size", "8"]


def test_the_trainer_knows_its_length(run, tmp_path):
    flags = ["--epochs", "5", "--every", "1", "--anneal", "0.4", "--ramp", "rising"]
    code, output, errors = run("train", *SMALL, *flags, "--strategy", "truncate", "--out", "a")
    assert (code, errors) == (0, "")
    assert "truncate, share 0.5 (fixed) (rising)" in output
    assert "every epoch from epoch 1, the last 40% in full" in output
    modes = [line["mode"] for line in metrics_of(tmp_path / "a")]
    assert modes == ["full", "drop", "drop", "full", "full"]
    shares = [line["share_dropped"] for line in metrics_of(tmp_path / "a")]
    assert shares[1] < shares[2]
    saved = [line["backward_saved"] for line in metrics_of(tmp_path / "a")]
    assert saved[0] == saved[3] == saved[4] == 0 < saved[1] < saved[2] < 1


def test_the_trainer_counts_steps(run, tmp_path):
    flags = ["--epochs", "2", "--period-steps", "3", "--pool", "4", "--anneal", "0.25"]
    code, output, errors = run("train", *SMALL, *flags, "--out", "a")
    assert (code, errors) == (0, "")
    assert "every 2 epochs (of 3 steps)" in output
    assert [line["mode"] for line in metrics_of(tmp_path / "a")] == ["mixed", "mixed"]
    assert "backward_saved" not in metrics_of(tmp_path / "a")[0], "of uniform it is not known"
    shares = [line["share_dropped"] for line in metrics_of(tmp_path / "a")]
    # Of 24 steps, 8 periods, the last two are full; of the others every second drops.
    assert shares[0] > shares[1] > 0
    assert "period_steps: 3" in (tmp_path / "a" / "settings.yaml").read_text()


@pytest.mark.usefixtures("known_times", "no_drawings")
def test_periods_of_steps_can_be_compared(run, tmp_path):
    flags = ["--epochs", "2", "--period-steps", "3", "--seeds", "1", "--out", "lab"]
    flags += ["--limit-train", "48"]
    code, _, errors = run("compare", *SMALL, *flags)
    assert (code, errors) == (0, "")
    record = Record.read(tmp_path / "lab")
    assert [row["mode"] for row in record.rows("ldb")] == ["mixed", "mixed"]
    assert set(record.pilot["ldb"]["per_step"]) == {"mixed"}
    assert record.pilot["ldb"]["ratio"] == 0.5  # all of its steps are said to take that


def test_a_sweep_is_by_epochs(run):
    code, _, errors = run("sweep", *SMALL, "--epochs", "2", "--period-steps", "3")
    assert code != 0
    assert "--period-steps 3 is not usable in a sweep" in errors
