"""The lab on a task that knows nothing of images."""

import json

import pytest
import torch
from torch import nn

from layerdropback import Blocks, LayerDropBack, Schedule, Truncate, UsageError
from layerdropback.lab import Arm, Run, Task, compare
from layerdropback.lab.arms import arms_of
from layerdropback.lab.record import Record
from layerdropback.lab.tuning import Tuning
from layerdropback.lab.turns import Player
from layerdropback.runs.stopping import Stopped, Stopping
from made_up_task import STEPS, Lines, LinesRun, study

pytestmark = pytest.mark.usefixtures("known_times", "no_drawings")


def player(way=None, task=None, epochs=3, state=None, lr=0.05):
    return Player(Arm("an arm", way, epochs, lr), 5, task or Lines(), state)


def weights(player):
    return player.run.model.state_dict()


def alone(seed, epochs=3):
    """The same run, without the lab."""
    torch.manual_seed(seed)
    run = LinesRun(None, seed, epochs, 0.01)
    for epoch in range(epochs):
        list(run.train(epoch))
    return run


def test_a_comparison_of_ones_own_task(tmp_path, capsys):
    record = compare(*study(), seeds=2, out=tmp_path / "lab")
    assert record.names() == ["plain", "half", "plain@half"]
    assert record.finished_seeds() == [0, 1]
    assert set(record.verdicts()) == {"half"}
    output = capsys.readouterr().out
    assert "on lines: 48 training and 64 test lines, 2 seeds" in output
    assert (tmp_path / "lab" / "report.html").exists()
    (row,) = [row for row in record.rows("half", 1) if row["epoch"] == 2]
    assert (row["mode"], row["steps"], row["extra"]) == ("drop", STEPS, 7)
    assert record.dropped["half 0"]["0"] == 3 * STEPS  # the first one is foreseen
    assert "plain 0" not in record.dropped
    saved = record.pilot["half"]["saved"]
    assert saved["drop"] < record.pilot["plain"]["saved"]["full"]
    assert "lines: 48 training and 64 test lines." in (tmp_path / "lab" / "report.md").read_text()


def test_each_run_is_the_run_it_would_be_alone(tmp_path):
    record = compare(*study(), seeds=2, out=tmp_path / "lab")
    for seed in (0, 1):
        losses = [row["train_loss"] for row in record.rows("plain", seed)]
        found = torch.tensor(alone(seed).trained).view(3, STEPS)
        torch.testing.assert_close(torch.tensor(losses), found.mean(1))


def test_a_player_leaves_the_callers_generators_alone():
    before = torch.get_rng_state()
    player().turn()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_ends_in_the_middle_of_an_epoch():
    short = player(epochs=1.5)
    rows = []
    while not short.finished:
        rows.append(short.turn())
    assert [row["steps"] for row in rows] == [STEPS, STEPS // 2]
    assert len(short.run.trained) == STEPS + STEPS // 2
    assert short.progress == 1


def test_it_goes_on_between_epochs_in_another_process():
    whole, first = player(Truncate(0.5)), player(Truncate(0.5))
    whole.turn()
    first.turn()
    assert first.can_save
    torch.manual_seed(99)
    other = player(Truncate(0.5), state=first.state_dict())
    while not whole.finished:
        assert whole.turn() | {"seconds": 0} == other.turn() | {"seconds": 0}
    assert other.finished
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(other).items())


def test_within_an_epoch_it_cannot_be_saved():
    class Stop(Exception):
        pass

    def stop():
        assert not running.can_save
        raise Stop

    running = player()
    with pytest.raises(Stop):
        running.turn(stop)


def test_a_stopped_comparison_goes_on_from_the_last_epochs(tmp_path, monkeypatch, capsys):
    """A run that is saved between epochs alone: stopped in one, it begins that one anew."""
    task, ways = study()
    whole = compare(task, ways, seeds=2, out=tmp_path / "whole")
    monkeypatch.setattr("layerdropback.lab.storing.SAVE_EVERY", 0.0)
    monkeypatch.setattr(Stopping, "requested", None, raising=False)

    class Asked(LinesRun):
        count = 0

        def train(self, epoch, done=0):
            for loss in super().train(epoch, done):
                Asked.count += 1
                if Asked.count == limit:
                    signals.append(15)
                yield loss

    signals, limit = [], -1
    monkeypatch.setattr(Stopping, "__init__", lambda self, patient=False: None)
    monkeypatch.setattr(Stopping, "__enter__", lambda self: self)
    monkeypatch.setattr(Stopping, "__exit__", lambda self, *error: None)
    monkeypatch.setattr(Stopping, "requested", property(lambda self: next(iter(signals), None)))
    monkeypatch.setattr(Lines, "made", Asked)
    compare(task, ways, seeds=1, out=tmp_path / "counted")
    runs = 3 * 3 * STEPS  # of all steps those of the pilot are not known beforehand
    limit, Asked.count = Asked.count - runs // 2 + 2, 0
    with pytest.raises(Stopped):
        compare(task, ways, seeds=2, out=tmp_path / "lab")
    assert (
        "stopped, saved as it was between two epochs; go on with: python" in capsys.readouterr().out
    )
    signals.clear()
    record = compare(task, ways, seeds=2, out=tmp_path / "lab", resume=True)
    assert record.finished_seeds() == [0, 1]
    for name in ("plain", "half"):
        losses = [[row["train_loss"] for row in r.rows(name)] for r in (whole, record)]
        assert losses[0] == losses[1]


def test_rates_are_tuned_on_the_held_out(tmp_path):
    grid = (0.001, 0.01, 0.02)
    record = compare(*study(), seeds=1, out=tmp_path / "lab", lr_grid=grid)
    assert record.held_out == 10
    assert set(record.tuned) == {"plain", "half", "plain@half"}
    for arm in record.arms:
        tried = sorted({t["lr"] for t in record.trials if t["arm"] == arm["name"]})
        assert tried[0] < arm["settings"]["lr"] == record.tuned[arm["name"]] < tried[-1]


def test_while_rates_are_tuned_a_run_is_tested_at_its_end_alone():
    """Each test of a large network costs about as much as an epoch on few images."""
    epochs = []

    class Noting(LinesRun):
        def test(self):
            epochs.append(len(self.trained) // STEPS)
            return super().test()

    task, trials = Lines(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lines, "made", Noting)
        Tuning((0.001, 0.01, 0.02), 2, task).go(
            arms_of(task, study()[1]), trials, after=lambda trial: None
        )
    assert epochs == [3] * len(trials)
    assert len(trials) >= 2 * 3 * 2


def test_a_stop_while_rates_are_tuned_loses_one_trial_at_most():
    """Trials come one after another, and each is kept as soon as it is made."""
    trials, grid, arms = [], (0.001, 0.01, 0.02), arms_of(*study())

    def stop_in_the_third_trial():
        if len(trials) == 2:
            raise Stopped(15)

    tuning = Tuning(grid, 1, Lines())
    with pytest.raises(Stopped):
        tuning.go(arms, trials, lambda trial: None, stop_in_the_third_trial)
    kept = list(trials)
    tuning.go(arms, trials, lambda trial: None)
    whole = []
    tuning.go(arms, whole, lambda trial: None)
    assert trials[:2] == kept
    same = [{n: v for n, v in trial.items() if n != "seconds"} for trial in trials]
    assert same == [{n: v for n, v in trial.items() if n != "seconds"} for trial in whole]


def test_a_task_without_held_out_cannot_be_tuned(tmp_path):
    class Bare(Lines):
        held_out = Task.held_out

    with pytest.raises(UsageError, match="rates of lines cannot be tuned. Cause: the task has no"):
        compare(Bare(), study()[1], lr_grid=(0.1, 0.2, 0.3), out=tmp_path / "lab")


def test_an_arm_of_another_length_and_rate(tmp_path):
    ways = {"plain": None, "short": Arm("", None, epochs=1, lr=0.01)}
    record = compare(Lines(), ways, seeds=1, out=tmp_path / "lab")
    (short,) = [arm for arm in record.arms if arm["name"] == "short"]
    assert (short["settings"]["epochs"], short["settings"]["lr"]) == (1, 0.01)
    assert len(record.rows("short")) == 1


def test_another_comparison_is_not_gone_on_with(tmp_path):
    compare(*study(), seeds=1, out=tmp_path / "lab")
    for ways in ({"plain": "other", "half": Truncate(0.5)}, {"plain": None, "half": Truncate(0.3)}):
        with pytest.raises(UsageError, match="is of another run"):
            compare(Lines(), ways, seeds=2, out=tmp_path / "lab", resume=True)


def test_what_drops_is_not_plain_training(tmp_path):
    ways = {"half": Truncate(0.5), "plain": None}
    with pytest.raises(UsageError, match="the first arm, 'half', drops layers. Cause: it is the"):
        compare(Lines(), ways, seeds=1, out=tmp_path / "lab")


@pytest.mark.parametrize("ways", [{}, {"plain": None}])
def test_one_arm_is_no_comparison(ways):
    with pytest.raises(UsageError, match="nothing can be compared. Cause: there is"):
        arms_of(Lines(), ways)


def test_a_kind_that_is_none_is_no_comparison(tmp_path):
    ways = {"plain": None, "half": Truncate(0.5)}
    with pytest.raises(UsageError, match="kind='swep' is not usable. Cause: it is comparison or"):
        compare(Lines(), ways, seeds=1, out=tmp_path / "lab", kind="swep")


def test_modes_are_the_controllers():
    def mode(strategy, schedule, epoch):
        model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5)))
        run = LinesRun(None, 0, 3, 0.1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        run.ldb = LayerDropBack(model, optimizer, strategy, schedule)
        return run.mode(epoch)

    assert LinesRun(None, 0, 3, 0.1).mode(1) == "full"
    assert [mode("uniform", Schedule(), epoch) for epoch in range(3)] == ["full", "drop", "full"]
    assert mode(Blocks(1, unit="layer"), Schedule(steps=2), 0) == "mixed"
    assert mode("control", Schedule(), 1) == "drop"


def test_a_run_that_saves_nothing_of_its_own_saves_its_parts():
    run = LinesRun(Truncate(0.5), 0, 3, 0.1)
    assert list(run.state_dict()) == ["model", "optimizer", "ldb"]
    assert not Run.mid_epoch


def test_the_record_is_plain_json(tmp_path):
    compare(*study(), seeds=1, out=tmp_path / "lab")
    found = json.loads((tmp_path / "lab" / "comparison.json").read_text())
    assert found["data"] == {"name": "lines", "train": 48, "test": 64, "unit": "lines"}
    assert found["arms"][1]["settings"]["way"] == "truncate, unit layer, share 0.5 (fixed)"
    assert Record.read(tmp_path / "lab").unit == "lines"
