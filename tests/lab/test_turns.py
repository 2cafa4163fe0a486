"""Runs that take turns are the runs they would be alone."""

from dataclasses import replace

import pytest
import torch

from layerdropback.lab.arms import Arm
from layerdropback.lab.turns import Player, take_turns
from layerdropback.tasks.arms import make_arms
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from made_up_task import Lines

BASE = TrainConfig(
    model="test_vit",
    epochs=3,
    batch_size=16,
    lr=0.01,
    dropping=Dropping(lr_scale=2.0, batch_scale=2),
)


@pytest.fixture(scope="module")
def data():
    return load_data("digits", limit_train=96, limit_test=20)


def alone(config, data):
    trainer = Trainer(config, data)
    for epoch in range(config.epoch_count):
        trainer.train_epoch(epoch)
    return trainer.model.state_dict()


def players(data):
    arms = make_arms(BASE, ["short: epochs=1.5"])
    return [Player(arm, 7, ImageTask(BASE, data)) for arm in arms]


@pytest.mark.slow
def test_each_run_is_bit_for_bit_the_one_that_ldb_train_makes(data):
    """Also where they draw from the global generators, as dropout does."""
    made = players(data)
    for player in made:
        for module in player.run.trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
    take_turns(made)
    for player in made:
        trainer = Trainer(replace(player.arm.way, seed=7), data)
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        for epoch in range(player.arm.way.epoch_count):
            trainer.train_epoch(epoch)
        expected = trainer.model.state_dict()
        for name, value in player.run.trainer.model.state_dict().items():
            assert torch.equal(value, expected[name]), (player.arm.name, name)


def test_dropout_is_there_to_be_tested(data):
    model = Trainer(BASE, data).model
    assert any(isinstance(module, torch.nn.Dropout) for module in model.modules())


@pytest.mark.slow
def test_short_runs_are_spread_over_the_time_of_long_ones(data):
    made = players(data)
    order = []
    take_turns(made, lambda player, row: order.append((player.arm.name, row["epoch"])))
    assert sorted(order) == sorted(
        (player.arm.name, epoch)
        for player in made
        for epoch in range(1, player.arm.way.epoch_count + 1)
    )
    where = {turn: place for place, turn in enumerate(order)}
    assert where["short", 1] < where["plain", 2] < where["plain", 3]
    assert where["plain", 2] < where["short", 2]
    firsts = [name for name, epoch in order if epoch == 1]
    seconds = [name for name, epoch in order if epoch == 2 and name != "short"]
    assert len(set(firsts)) == len(made)
    assert len(seconds) == len(made) - 1


def test_a_run_goes_on_in_another_process(data):
    made = players(data)
    (whole,) = players(data)[1:2]
    while not whole.finished:
        whole.turn()
    made[1].turn()

    class Stop(Exception):
        pass

    def stop():
        if made[1].run.trainer.so_far.steps == 2:
            raise Stop

    with pytest.raises(Stop):
        made[1].turn(stop)
    torch.manual_seed(99)
    other = Player(made[1].arm, 7, ImageTask(BASE, data), made[1].state_dict())
    assert (len(other.history), other.run.trainer.so_far.steps) == (1, 2)
    while not other.finished:
        other.turn()
    expected = whole.run.trainer.model.state_dict()
    for name, value in other.run.trainer.model.state_dict().items():
        assert torch.equal(value, expected[name])
    assert [row["train_loss"] for row in other.history] == [
        row["train_loss"] for row in whole.history
    ]


def test_metrics_of_another_release_go_on_as_they_are(data):
    (made,) = players(data)[:1]
    made.turn()
    state = made.state_dict()
    (row,) = state["history"]
    state["history"] = [{k: v for k, v in row.items() if k != "skipped"} | {"gradient_norm": 1.5}]
    (found,) = Player(made.arm, 7, ImageTask(BASE, data), state).history
    assert found == state["history"][0]


def test_turns_leave_the_callers_generators_alone(data):
    made = players(data)[:2]
    before = torch.get_rng_state()
    take_turns(made)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_seed_has_another_arm_begin():
    """Runs of one epoch would else be trained in the same order with every seed."""
    arms = [Arm(name, None, 1, 0.01) for name in ("a", "b", "c")]
    first = []
    for seed in range(4):
        made, order = [Player(arm, seed, Lines()) for arm in arms], []
        take_turns(made, lambda player, row, order=order: order.append(player.arm.name))
        assert sorted(order) == ["a", "b", "c"]
        first.append(order[0])
    assert first == ["a", "b", "c", "a"]
