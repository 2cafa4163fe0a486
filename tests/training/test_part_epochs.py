"""Runs that end in the middle of an epoch."""

from dataclasses import replace

import pytest
import torch

from command import metrics_of, stop_after
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer

BASE = TrainConfig(model="test_resnet", batch_size=16, dropping=Dropping(drop_rate=0.0))
FLAGS = ["--model", "test_resnet", "--limit-train", "96", "--limit-test", "20"]


@pytest.fixture(scope="module")
def data():
    return load_data("digits", limit_train=96, limit_test=20)


@pytest.mark.parametrize(
    ("epochs", "steps", "crop"),
    [
        (1.5, [6, 3], "pad"),
        (2.5, [6, 6, 3], "resized"),
        (0.5, [3], "pad"),
        (0.01, [1], "resized"),
        (1, [6], "pad"),
    ],
)
def test_the_last_epoch_has_its_part_of_the_steps(data, epochs, steps, crop):
    config = replace(BASE, epochs=epochs, crop=crop, workers=0)
    trainer = Trainer(config, data)
    metrics = [trainer.train_epoch(epoch) for epoch in range(config.epoch_count)]
    trainer.pipeline.close()
    assert [epoch.steps for epoch in metrics] == steps
    assert trainer.steps == sum(steps)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_learning_rate_has_decayed_where_the_run_ends(data, schedule):
    """Otherwise plain training cut short would be at a disadvantage."""
    config = replace(BASE, epochs=2.5, schedule=schedule)
    trainer = Trainer(config, data)
    metrics = [trainer.train_epoch(epoch) for epoch in range(config.epoch_count)]
    assert metrics[-1].lr_last < 0.1 * config.lr
    whole = [metrics[0].lr, metrics[1].lr, metrics[2].lr]
    assert whole == sorted(whole, reverse=True)


def test_the_first_part_of_an_epoch_is_that_of_a_whole_one(data):
    """The same images in the same order, and with a constant rate the same weights."""
    states = []

    def remember(images):
        if trainer.steps == 9:
            states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})

    for epochs in (2, 1.5):
        config = replace(BASE, epochs=epochs, schedule="constant")
        trainer = Trainer(config, data)
        for epoch in range(2):
            trainer.train_epoch(epoch, remember)
    assert len(states) == 2
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_drop_epoch_may_be_a_part(data):
    config = replace(BASE, epochs=1.5, dropping=Dropping(drop_rate=0.5, batch_scale=2))
    trainer = Trainer(config, data)
    metrics = [trainer.train_epoch(epoch) for epoch in range(2)]
    assert [(epoch.mode, epoch.steps, epoch.batch_size) for epoch in metrics] == [
        ("full", 6, 16),
        ("drop", 2, 32),
    ]
    assert 0 < metrics[1].share_dropped < 1
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())


@pytest.mark.parametrize("steps", [8, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stop_in_such_a_run_costs_nothing(run, tmp_path, steps):
    flags = [*FLAGS, "--batch-size", "16", "--epochs", "1.5"]
    assert run("train", *flags, "--out", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, steps)
        code, output, _ = run("train", *flags, "--out", "stopped")
    assert code == 143
    assert "of 1.5 epochs" in output
    code, output, _ = run("train", "--out", "stopped", "--resume")
    assert code == 0
    assert "epoch 2/1.5" in output
    names = [tmp_path / name / "weights.safetensors" for name in ("whole", "stopped")]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert [line["steps"] for line in metrics_of(tmp_path / "stopped")] == [6, 3]


def test_whole_numbers_of_epochs_read_as_such(run, tmp_path):
    code, output, _ = run("train", *FLAGS, "--epochs", "1.0", "--out", "run")
    assert code == 0
    assert "epoch 1/1 " in output
    assert "epochs: 1\n" in (tmp_path / "run" / "settings.yaml").read_text()


@pytest.mark.parametrize("epochs", ["0", "-1", "nan", "inf"])
def test_no_number_of_epochs(run, epochs):
    code, _, errors = run("train", *FLAGS, "--epochs", epochs)
    assert code == 2
    wanted = "up to 2,147,483,648" if epochs == "inf" else "above 0"
    assert f"is not usable. Cause: a number {wanted} is needed. Cure: give one." in errors
