"""Blocks that take turns inside of Trainer and Lightning: what rests, checkpoints, resumed runs."""

import shutil

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import lightning_runs
import trainer_runs
from layerdropback import Blocks, Schedule
from layerdropback.integrations import lightning, transformers

QUIET = {*lightning_runs.QUIET, *trainer_runs.QUIET}
pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

STATES = ("keep", "offload", "release")


def settings(state, order="cyclic", active=1, train=("head", "norm")):
    return {
        "strategy": Blocks(active, order, train=train, state=state),
        "schedule": Schedule(steps=4),
        "seed": 4,
        "verify": True,
    }


# ---- transformers --------------------------------------------------------------------------------


def trained(name, folder, state, steps=None, **changes):
    ours = transformers.LayerDropBackCallback(**settings(state))
    steps = trainer_runs.Steps(ours)
    trainer_runs.run(name, folder, ours, steps, num_train_epochs=2, **changes)
    return steps


@pytest.mark.parametrize("name", ["bert", "llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_trainer_offloads_what_rests_and_trains_the_same(tmp_path, name):
    kept, offloaded = (trained(name, tmp_path, state) for state in ("keep", "offload"))
    trainer_runs.assert_same_runs(kept, offloaded)
    for dropped, states in zip(offloaded.dropped[1:], offloaded.states[1:], strict=True):
        held = {name for name, moment in states.items() if moment is not None}
        assert dropped
        assert len(held) < len(states) / 2
    assert len([m for m in kept.states[-1].values() if m is not None]) > len(states) / 2


@pytest.mark.parametrize("state", ["offload", pytest.param("release", marks=pytest.mark.slow)])
def test_trainer_goes_on_within_a_period(tmp_path, state):
    saves = {"save_strategy": "steps", "save_steps": 1}
    whole = trained("llama", tmp_path / "whole", state, **saves)
    for step in (1, 6, 12, 17):
        path = tmp_path / "elsewhere"
        shutil.copytree(tmp_path / "whole" / f"checkpoint-{step}", path)
        rest = trained("llama", tmp_path / "rest", state, resume=str(path))
        shutil.rmtree(path)
        kept = trainer_runs.Steps()
        kept.weights = whole.weights[step:]
        trainer_runs.assert_same_runs(kept, rest)


def test_lora_takes_turns_too(tmp_path):
    """A and B of a block's modules are its adapters; the base model is frozen, and no turn's."""
    ours = transformers.LayerDropBackCallback(**settings("offload", train=()))
    steps = trainer_runs.Steps(ours)
    trainer_runs.run("lora", tmp_path, ours, steps, num_train_epochs=1)
    for before, after, dropped in zip(
        steps.weights, steps.weights[1:], steps.dropped[1:], strict=False
    ):
        moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
        assert moved
        assert not moved & dropped
        assert len({name.split("layers.")[1].split(".")[0] for name in moved}) == 1


def test_one_turn_in_the_whole_run_is_told(tmp_path):
    ours = transformers.LayerDropBackCallback(Blocks(1))  # periods of 20 steps
    with pytest.warns(UserWarning, match="the same blocks train in the whole run.*one period"):
        trainer_runs.run("llama", tmp_path, ours, num_train_epochs=1)


# ---- Lightning -----------------------------------------------------------------------------------


def fitted(state, *callbacks, order="cyclic", **changes):
    ours = lightning.LayerDropBackCallback(**settings(state, order))
    module = lightning_runs.Classifier(optimizer=lambda p: torch.optim.AdamW(p, lr=0.01))
    data = lightning_runs.same_batches()
    return lightning_runs.fit(module, ours, *callbacks, data=data, max_epochs=2, **changes)


@pytest.mark.parametrize("order", ["cyclic", "random"])
def test_lightning_offloads_and_trains_the_same(order):
    kept, offloaded = (fitted(state, order=order) for state in ("keep", "offload"))
    lightning_runs.assert_same_runs(kept, offloaded)
    assert any(
        torch.equal(kept.weights[4][name], kept.weights[5][name]) for name in kept.weights[4]
    )


@pytest.mark.parametrize("state", ["offload", pytest.param("release", marks=pytest.mark.slow)])
def test_lightning_goes_on_within_a_period(tmp_path, state):
    saving = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole = fitted(state, saving, enable_checkpointing=True)
    for step in (1, 6, 12, 17):
        ours = lightning.LayerDropBackCallback(**settings(state))
        module = lightning_runs.Classifier(optimizer=lambda p: torch.optim.AdamW(p, lr=0.01))
        path = tmp_path / f"step={step}.ckpt"
        runner = lightning_runs.trainer(ours, max_epochs=2)
        runner.fit(module, lightning_runs.same_batches(), ckpt_path=path)
        expected = whole.weights[step:]
        assert len(module.weights) == len(expected)
        for mine, theirs in zip(module.weights, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
