"""The pilot's arithmetic, with steps of known length."""

import math
import time

import pytest
import torch

import made_up_task
from layerdropback import Truncate
from layerdropback.lab import pilot, slices
from layerdropback.lab.arms import arms_of, with_equal_time
from layerdropback.lab.turns import Player
from layerdropback.tasks.arms import make_arms
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from made_up_task import Lines, LinesRun


@pytest.mark.parametrize(
    ("dropping", "epochs", "ratio"),
    [
        # Rates 0.6, 0.3, 0: by the median of these epochs it would be 0.9.
        (
            Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0, ramp="falling"),
            3,
            (0.2 + 0.9 + 1.0) / 3,
        ),
        (Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0), 3, 0.9),
        (Dropping(drop_rate=0.3, strategy="truncate", every=2, start=1), 4, (1.0 + 0.9) / 2),
        (Dropping(drop_rate=0.3, strategy="truncate", every=1, start=0), 2.5, 0.9),
    ],
)
def test_a_runs_time_is_that_of_all_its_epochs(dropping, epochs, ratio, monkeypatch):
    config = TrainConfig(model="test_resnet", epochs=epochs, batch_size=16, dropping=dropping)
    plain, method, *_ = make_arms(config)

    def steps(player, epoch, count, done=0):
        if player.arm.name == "plain":
            return 1.0
        if dropping.given.get("ramp") == "falling":
            return (0.2, 0.9, 1.0)[epoch]
        return 0.9 if dropping.settings().is_drop_epoch(epoch) else 1.0

    monkeypatch.setattr(slices, "timed_steps", steps)
    monkeypatch.setattr(slices, "SavedBytes", _NoBytes)
    data = load_data("digits", limit_train=160, limit_test=40)
    found = pilot.pilot([plain, method], ImageTask(config, data))
    assert found["ldb"].ratio == pytest.approx(ratio)
    assert found["ldb"].error == 0
    assert found["plain"].per_step == {"full": 1.0}
    drop = found["ldb"].per_step["drop"]
    assert drop == pytest.approx(ratio if dropping.given.get("ramp") == "falling" else 0.9)
    steps_of_run = 10 * epochs
    assert found["ldb"].seconds == pytest.approx(ratio * steps_of_run)


@pytest.fixture
def one_round(known_times, monkeypatch):
    """Bytes are counted before the first; the times are known."""
    monkeypatch.setattr(pilot, "ROUNDS", (1, 1))


def test_the_first_step_which_is_recorded_does_not_count_as_a_drop_steps_memory(one_round):
    data, found = load_data("digits", limit_train=40, limit_test=20), []
    for start in (0, 1):  # in the second the first step is in a full epoch
        dropping = Dropping(drop_rate=0.5, strategy="truncate", every=1, start=start)
        config = TrainConfig(model="test_vit", epochs=2, batch_size=4, dropping=dropping)
        arms = [arm for arm in make_arms(config) if arm.role != "same time"]
        found.append(pilot.pilot(arms, ImageTask(config, data)))
    first, second = (timings["ldb"].saved for timings in found)
    assert first["drop"] == second["drop"] < second["full"]
    assert "full" not in first


class _NoBytes:
    total, passes = 0, 1

    def __init__(self, model):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize("ramp", ["falling", "rising"])
def test_periods_are_timed_all_over_the_run(ramp, monkeypatch):
    """At its beginning alone, or at its end for good, they take twice as long, or none."""
    periods = {"period_steps": 5, "every": 1, "start": 0, "ramp": ramp}
    dropping = Dropping(drop_rate=0.5, strategy="truncate", depth="fixed", **periods)
    config = TrainConfig(model="test_resnet", epochs=4, batch_size=8, dropping=dropping)
    plain, method, *_ = make_arms(config)

    def steps(player, epoch, count, done=0):
        if player.arm.name == "plain":
            return 1.0
        ldb = player.run.ldb
        assert count in (1, 4, 11) or count % 5 == 0  # of the warm-up; whole periods
        schedule, first = ldb.settings.schedule, slices.lead(player.run, epoch)
        return 1 - schedule.position(schedule.period(epoch, ldb.stats()["step"] + first))

    monkeypatch.setattr(slices, "timed_steps", steps)
    monkeypatch.setattr(slices, "SavedBytes", _NoBytes)
    monkeypatch.setattr(pilot, "ROUNDS", (40, 40))
    data = load_data("digits", limit_train=160, limit_test=40)
    found = pilot.pilot([plain, method], ImageTask(config, data))["ldb"]
    assert found.ratio == pytest.approx(0.5, abs=0.02)
    assert found.error < 0.02  # that the run's ends differ is no error


def test_the_bytes_of_periods_are_of_the_whole_run(one_round):
    """With a falling share the first steps hold least."""
    data, saved = load_data("digits", limit_train=40, limit_test=20), {}
    for ramp in ("falling", "rising"):
        periods = {"period_steps": 2, "every": 1, "start": 0, "ramp": ramp}
        dropping = Dropping(drop_rate=0.5, strategy="truncate", depth="fixed", **periods)
        config = TrainConfig(model="test_vit", epochs=2, batch_size=4, dropping=dropping)
        arms = [arm for arm in make_arms(config) if arm.role != "same time"]
        saved[ramp] = pilot.pilot(arms, ImageTask(config, data))["ldb"].saved["mixed"]
    assert saved["falling"] == pytest.approx(saved["rising"], rel=0.15)


class OneCycle(LinesRun):
    """Its schedule refuses more steps than were said."""

    def __init__(self, strategy, seed, epochs, lr):
        super().__init__(strategy, seed, epochs, lr)
        steps = sum(map(self.steps_in, range(math.ceil(epochs))))
        cycle = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr, total_steps=steps)
        self.optimizer.register_step_post_hook(lambda *_: cycle.step())


class OneCycleLines(Lines):
    made, epochs, started = OneCycle, 5, 0

    def start(self, way, seed, epochs, lr):
        self.started += 1
        return super().start(way, seed, epochs, lr)


def test_a_run_gets_no_more_steps_than_it_has(monkeypatch):
    monkeypatch.setattr(slices, "SLICE", 0.0)
    monkeypatch.setattr(pilot, "ROUNDS", (20, 20))
    task, ways = OneCycleLines(), {"plain": None, "half": Truncate(0.5)}
    arms = [arm for arm in with_equal_time(arms_of(task, ways)) if arm.role != "same time"]
    found = pilot.pilot(arms, task)
    assert {timing.n for timing in found.values()} == {20}
    assert 4 <= task.started <= 20


class Sentences(LinesRun):
    """Begins in the midst of an epoch, where it is asked to."""

    mid_epoch = True

    def train(self, epoch, done=0):
        for at, loss in enumerate(super().train(epoch)):
            if at >= done:
                yield loss


class Unlike(Lines):
    made, epochs = Sentences, 1


def test_batches_are_of_the_whole_epoch(monkeypatch):
    begun, timed = [], slices.timed_steps

    def noted(player, epoch, steps, done=0):
        begun.append(done)
        return timed(player, epoch, steps, done)

    monkeypatch.setattr(slices, "timed_steps", noted)
    monkeypatch.setattr(slices, "SLICE", 0.0)
    monkeypatch.setattr(made_up_task, "STEPS", 60)
    monkeypatch.setattr(pilot, "ROUNDS", (12, 12))
    task, ways = Unlike(), {"plain": None, "half": Truncate(0.5)}
    arms = [arm for arm in with_equal_time(arms_of(task, ways)) if arm.role != "same time"]
    pilot.pilot(arms, task)
    assert len(set(begun)) >= 8
    assert 40 <= max(begun) <= 51  # four first steps, four more, and one is left


class InTurns(Sentences):
    """What all of its steps take is slept in each, or in every so many."""

    every = 1

    def train(self, epoch, done=0):
        for at, loss in enumerate(super().train(epoch, done), done):
            if at % self.every == 0:
                time.sleep(self.every)
            yield loss


@pytest.mark.in_turn("mid_epoch")
@pytest.mark.parametrize("mid_epoch", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 9.0])
@pytest.mark.parametrize("every", [2, 4])
def test_what_comes_in_every_second_step_counts_as_often_as_in_a_run(
    every, seconds, mid_epoch, monkeypatch, clock
):
    monkeypatch.setattr(InTurns, "mid_epoch", mid_epoch)
    monkeypatch.setattr(slices, "SLICE", seconds)
    monkeypatch.setattr(made_up_task, "STEPS", 60)
    task, ways = Unlike(), {"plain": None, "half": Truncate(0.5)}
    monkeypatch.setattr(Unlike, "made", InTurns)
    started = task.start

    def start(way, *arguments):
        run = started(way, *arguments)
        run.every = 1 if way is None else every
        return run

    monkeypatch.setattr(task, "start", start)
    arms = [arm for arm in with_equal_time(arms_of(task, ways)) if arm.role != "same time"]
    found = pilot.pilot(arms, task)
    assert {name: timing.ratio for name, timing in found.items()} == {"plain": 1.0, "half": 1.0}


@pytest.mark.parametrize("disturbed", [False, True])
def test_long_batches_weigh_more_and_disturbed_rounds_nothing(disturbed, monkeypatch):
    calls = {"plain": 0, "half": 0}

    def steps(player, epoch, count, done=0):
        name = player.arm.name
        calls[name] += 1
        number = calls[name] - 3  # the warm-up's are before
        long = number % 3 == 0
        if disturbed and number == 5 and name == "half":
            return 50.0
        return {"plain": 4.0 if long else 1.0, "half": 2.0 if long else 0.8}[name]

    monkeypatch.setattr(slices, "timed_steps", steps)
    monkeypatch.setattr(slices, "SavedBytes", _NoBytes)
    monkeypatch.setattr(slices.Track, "_begin_anew", lambda track: None)
    monkeypatch.setattr(pilot, "ROUNDS", (31, 31))
    monkeypatch.setattr(pilot, "LONGEST", math.inf)
    task, ways = Lines(), {"plain": None, "half": Truncate(0.5)}
    arms = [arm for arm in with_equal_time(arms_of(task, ways)) if arm.role != "same time"]
    found = pilot.pilot(arms, task)["half"]
    # A median would say 0.8.
    assert found.ratio == pytest.approx((2.0 + 2 * 0.8) / (4.0 + 2 * 1.0), abs=0.02)
    assert found.error < 0.05


def test_the_first_steps_of_a_slice_count_as_an_epochs_first_ones_do(monkeypatch):
    """Each slice has them, and a run has them once in an epoch."""
    clock = [0.0]

    class Slow(LinesRun):
        mid_epoch = True

        def train(self, epoch, done=0):
            for at in range(self.steps_in(epoch)):
                clock[0] += 5.0 if at == 0 else 1.0
                yield 0.0

    class SlowAtFirst(Lines):
        made, epochs = Slow, 1

    ways = {"plain": None, "half": Truncate(0.5)}

    monkeypatch.setattr(slices, "now", lambda device: clock[0])
    monkeypatch.setattr(made_up_task, "STEPS", 40)
    task = SlowAtFirst()
    player = Player(arms_of(task, ways)[0], 0, task)
    for steps, done in ((1, 0), (10, 0), (10, 20)):
        assert slices.timed_steps(player, 0, steps, done) == pytest.approx((5.0 + 39 * 1.0) / 40)


@pytest.mark.parametrize(("steps", "first"), [(3, 1), (8, 2), (12, 3), (1000, 4)])
def test_of_a_short_epoch_fewer_steps_are_the_first_ones(steps, first, monkeypatch):
    monkeypatch.setattr(made_up_task, "STEPS", steps)
    assert slices.lead(LinesRun(None, 0, 1, 0.1), 0) == first
