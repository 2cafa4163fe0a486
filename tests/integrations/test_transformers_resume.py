"""Trainer's checkpoints: a resumed run ends like one that was not interrupted, to the last bit."""

import json
import shutil

import pytest
import torch

from layerdropback import Branch, Schedule, StateError, Truncate, Uniform
from layerdropback.integrations.transformers import LayerDropBackCallback
from trainer_runs import OLD, QUIET, Steps, assert_same_runs, made, run

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

LEFT_OVER = "before 5 an epoch's last, shorter window is left for the next one"
STRATEGIES = [Uniform(0.5), Truncate(0.3, "uniform"), Branch(0.3)]
PER_EPOCH = {1: 11, 3: 4}  # by accumulation, the last window is shorter


def callback(strategy, **changes):
    settings = {"schedule": Schedule(every=2, start=1), "seed": 4, "verify": True} | changes
    return LayerDropBackCallback(strategy, **settings)


def whole_run(folder, strategy, name="llama", **changes):
    ours, steps = callback(strategy), Steps()
    settings = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 4} | changes
    run(name, folder, ours, steps, **settings)
    return ours, steps


def zeroed(name):
    model = made(name)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def resumed(path, folder, ours, name="llama", **changes):
    steps = Steps()
    run(
        name,
        folder,
        ours,
        steps,
        model=zeroed(name),
        resume=str(path),
        num_train_epochs=4,
        **changes,
    )
    return steps


@pytest.mark.parametrize(
    ("strategy", "accumulation", "restore"),
    [
        pytest.param(STRATEGIES[0], 1, False, marks=pytest.mark.slow),
        (STRATEGIES[1], 1, False),
        pytest.param(STRATEGIES[2], 1, False, marks=pytest.mark.slow),
        pytest.param(
            STRATEGIES[0],
            3,
            False,
            marks=[pytest.mark.slow, pytest.mark.skipif(OLD, reason=LEFT_OVER)],
        ),
        pytest.param(STRATEGIES[1], 1, True, marks=pytest.mark.slow),
    ],
    ids=["uniform", "truncate", "branch", "accumulated", "restored"],
)
def test_from_full_and_drop_epochs(tmp_path, strategy, accumulation, restore):
    changes = {"gradient_accumulation_steps": accumulation}
    whole, steps = whole_run(tmp_path / "whole", strategy, **changes)
    epoch = PER_EPOCH[accumulation]
    assert whole.ldb.stats()["drop_steps"] == 2 * epoch
    for step in (epoch, epoch + 2, 3 * epoch + 1):
        rest = callback(strategy)
        path = tmp_path / "elsewhere"  # the path alone says where the state is
        shutil.copytree(tmp_path / "whole" / f"checkpoint-{step}", path)
        again = resumed(
            path,
            tmp_path / "rest",
            rest,
            restore_callback_states_from_checkpoint=restore,
            **changes,
        )
        shutil.rmtree(path)
        kept = Steps()
        kept.weights = steps.weights[step:]
        assert_same_runs(kept, again)
        if not restore:  # else the trainer has put another callback in its place
            assert rest.ldb.stats() == whole.ldb.stats()


def test_with_dropout(tmp_path):
    """Generators of the model are the Trainer's to restore; masks need none."""
    _, steps = whole_run(tmp_path / "whole", Uniform(0.5), name="bert", save_steps=14)
    again = resumed(
        tmp_path / "whole" / "checkpoint-14", tmp_path / "rest", callback(Uniform(0.5)), name="bert"
    )
    steps.weights = steps.weights[14:]
    assert_same_runs(steps, again)


def test_the_last_checkpoint_of_the_folder(tmp_path):
    whole_run(tmp_path, Uniform(0.5), max_steps=14, save_steps=13)
    ours, rest = callback(Uniform(0.5)), Steps()
    run("llama", tmp_path, ours, rest, model=zeroed("llama"), resume=True, max_steps=18)
    assert ours.ldb.stats()["step"] == 18
    assert len(rest.weights) == 4


def test_a_checkpoint_without_a_state_is_told_and_those_after_it_have_one(tmp_path):
    run("llama", tmp_path, save_strategy="steps", save_steps=3, num_train_epochs=2)
    path = tmp_path / "checkpoint-6"
    saving = {"save_strategy": "steps", "save_steps": 3}
    with pytest.warns(
        UserWarning, match=r"the run goes on at step 6, LayerDropBack begins anew\. C"
    ):
        resumed(path, tmp_path, callback(Uniform(0.5)), **saving)
    saved = json.loads((tmp_path / "checkpoint-9" / "trainer_state.json").read_text())
    state = saved["stateful_callbacks"]["LayerDropBackCallback"]["attributes"]["saved"]
    assert state["step"] == 3


def test_other_settings_than_the_checkpoints_are_told(tmp_path):
    whole_run(tmp_path, Uniform(0.5), max_steps=13, save_steps=13)
    with pytest.warns(UserWarning, match=r"strategy\.rate is 0\.5 in the state and 0\.25 here"):
        resumed(tmp_path / "checkpoint-13", tmp_path, callback(Uniform(0.25)))


def test_settings_that_are_restored_with_the_callbacks_are_the_checkpoints(tmp_path):
    whole_run(tmp_path, Uniform(0.5), max_steps=14, save_steps=13)
    rest = Steps()
    trainer = run(
        "llama",
        tmp_path,
        callback(Uniform(0.25)),
        rest,
        model=zeroed("llama"),
        resume=str(tmp_path / "checkpoint-13"),
        restore_callback_states_from_checkpoint=True,
        max_steps=20,
    )
    (ours,) = (
        c for c in trainer.callback_handler.callbacks if isinstance(c, LayerDropBackCallback)
    )
    assert ours.settings.strategy == Uniform(0.5)
    assert ours.ldb.stats()["step"] == 20


def test_a_state_of_another_model_is_refused(tmp_path):
    whole_run(tmp_path, Uniform(0.5), max_steps=13, save_steps=13)
    path = tmp_path / "checkpoint-13" / "trainer_state.json"
    saved = json.loads(path.read_text())
    state = saved["stateful_callbacks"]["LayerDropBackCallback"]["attributes"]["saved"]
    del state["layers"][0]
    path.write_text(json.dumps(saved, sort_keys=True))
    with pytest.raises(StateError, match="the state belongs to another model: layer"):
        resumed(path.parent, tmp_path, callback(Uniform(0.5)))


def test_a_run_without_the_callback_resumes_from_its_checkpoint(tmp_path):
    whole_run(tmp_path, Uniform(0.5), max_steps=13, save_steps=13)
    path = str(tmp_path / "checkpoint-13")
    trainer = run("llama", tmp_path, model=zeroed("llama"), resume=path, max_steps=15)
    assert trainer.state.global_step == 15


def test_what_is_saved_at_an_epochs_end_is_the_state_then(tmp_path):
    whole_run(tmp_path, Uniform(0.5), save_strategy="epoch")
    for step in (11, 22):
        saved = json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text())
        state = saved["stateful_callbacks"]["LayerDropBackCallback"]["attributes"]["saved"]
        assert state["step"] == step


@pytest.mark.skipif(OLD, reason="before 5 the checkpoint's batch size is taken")
def test_with_another_length_of_an_epoch_it_counts_as_the_trainer_does(tmp_path):
    whole_run(tmp_path, Uniform(0.9), max_steps=12, save_steps=12)
    ours = callback(Uniform(0.9))
    steps = Steps(ours)
    changes = {"per_device_train_batch_size": 4, "num_train_epochs": 4}  # 6 steps each
    path = str(tmp_path / "checkpoint-12")
    run("llama", tmp_path, ours, steps, model=zeroed("llama"), resume=path, **changes)
    assert [bool(names) for names in steps.dropped] == [False] * 6 + [True] * 6
