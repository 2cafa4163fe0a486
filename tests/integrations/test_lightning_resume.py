"""Lightning's checkpoints: a resumed run ends like one that was not interrupted."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateFinder, ModelCheckpoint

from layerdropback import Branch, Schedule, Truncate, Uniform
from layerdropback.integrations.lightning import LayerDropBackCallback
from lightning_runs import (
    BATCHES,
    QUIET,
    Classifier,
    Masks,
    assert_same_runs,
    fit,
    loader,
    same_batches,
    trainer,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

EPOCHS = 4
STRATEGIES = [Uniform(0.5), Uniform(0.5, pool=4), Truncate(0.4, "uniform"), Branch(0.5)]


def callback(strategy, **changes):
    settings = {"schedule": Schedule(every=2, start=1), "seed": 4, "verify": True} | changes
    return LayerDropBackCallback(strategy, **settings)


def saving(folder, **when):
    return ModelCheckpoint(folder, "{step}", save_top_k=-1, **when)


def whole_run(folder, strategy, when, **changes):
    return fit(
        Classifier(),
        callback(strategy),
        saving(folder, **when),
        data=same_batches(),
        enable_checkpointing=True,
        max_epochs=EPOCHS,
        **changes,
    )


def resumed(path, mine, **changes):
    """The rest of a run, in a model with other weights; the callback's controller, too."""
    module = Classifier()
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    trainer(mine, max_epochs=EPOCHS, **changes).fit(module, same_batches(), ckpt_path=path)
    return module


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        pytest.param(strategy, steps, id=f"{name}-{len(steps)}", marks=marks)
        for name, strategy in zip(
            ("uniform", "pool", "truncate", "branch"), STRATEGIES, strict=True
        )
        for steps, marks in (((13, 27), ()), ((5, 13, 20, 27, 34), pytest.mark.slow))
    ],
)
def test_from_the_middle_of_full_and_drop_epochs(tmp_path, strategy, steps):
    whole = whole_run(tmp_path, strategy, {"every_n_train_steps": 1})
    same_from(whole, tmp_path, strategy, steps)


def test_from_the_end_of_an_epoch(tmp_path):
    strategy = Uniform(0.5)
    whole = whole_run(tmp_path, strategy, {"every_n_epochs": 1, "save_on_train_epoch_end": True})
    same_from(whole, tmp_path, strategy, [10, 20, 30])


def same_from(whole, folder, strategy, steps):
    """Runs that are resumed at these steps end like the whole one."""
    for step in steps:
        rest = resumed(folder / f"step={step}.ckpt", callback(strategy))
        assert len(rest.weights) == EPOCHS * BATCHES - step
        for mine, theirs in zip(whole.weights[step:], rest.weights, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_with_windows_of_several_batches(tmp_path):
    strategy, changes = Uniform(0.5), {"accumulate_grad_batches": 2}
    whole = whole_run(tmp_path, strategy, {"every_n_train_steps": 1}, **changes)
    rest = resumed(tmp_path / "step=8.ckpt", callback(strategy), **changes)  # of 5 an epoch
    del whole.weights[:16]
    assert_same_runs(whole, rest)


def test_counters_go_on(tmp_path):
    strategy = Uniform(0.5)
    first, second = callback(strategy), callback(strategy)
    fit(
        Classifier(),
        first,
        saving(tmp_path, every_n_train_steps=1),
        data=same_batches(),
        enable_checkpointing=True,
        max_epochs=EPOCHS,
    )
    resumed(tmp_path / "step=13.ckpt", second)
    assert first.ldb.stats() == second.ldb.stats()


def test_a_checkpoint_without_a_state_is_told(tmp_path):
    fit(
        Classifier(),
        saving(tmp_path, every_n_train_steps=1),
        data=same_batches(),
        enable_checkpointing=True,
        max_epochs=2,
    )
    with pytest.warns(UserWarning, match="the run goes on at step 13, LayerDropBack begins anew"):
        resumed(tmp_path / "step=13.ckpt", callback(Uniform(0.5)))


def test_other_settings_than_the_checkpoints_are_told(tmp_path):
    whole_run(tmp_path, Uniform(0.5), {"every_n_train_steps": 1})
    with pytest.warns(UserWarning, match=r"strategy\.rate is 0\.5 in the state and 0\.25 here"):
        resumed(tmp_path / "step=13.ckpt", callback(Uniform(0.25)))


def test_a_checkpoint_loads_without_running_code(tmp_path):
    whole_run(tmp_path, Uniform(0.5), {"every_n_train_steps": 1})
    saved = torch.load(tmp_path / "step=13.ckpt", weights_only=True)
    state = saved["callbacks"]["LayerDropBackCallback"]
    assert (state["step"], state["epoch"], state["epoch_steps"]) == (13, 1, 3)


def test_what_a_validation_restores_is_not_the_next_runs(tmp_path):
    whole_run(tmp_path, Uniform(0.5), {"every_n_train_steps": 1})
    mine = callback(Uniform(0.5))
    runner, module = trainer(mine, max_epochs=2), Classifier()
    runner.validate(module, loader(), ckpt_path=tmp_path / "step=13.ckpt", verbose=False)
    runner.fit(module, same_batches())
    assert mine.ldb.stats()["step"] == 2 * BATCHES


def test_what_a_validation_restores_does_not_stand_for_what_a_checkpoint_lacks(tmp_path):
    whole_run(tmp_path, Uniform(0.5), {"every_n_train_steps": 1})
    changes = {"data": same_batches(), "enable_checkpointing": True, "max_epochs": 2}
    fit(Classifier(), saving(tmp_path / "plain", every_n_train_steps=13), **changes)
    mine = callback(Uniform(0.5))
    runner, module = trainer(mine, max_epochs=2), Classifier()
    runner.validate(module, loader(), ckpt_path=tmp_path / "step=13.ckpt", verbose=False)
    with pytest.warns(UserWarning, match="LayerDropBack begins anew"):
        runner.fit(module, same_batches(), ckpt_path=tmp_path / "plain" / "step=13.ckpt")
    assert mine.ldb.stats()["step"] == 2 * BATCHES - 13


def test_a_trainer_that_goes_on_by_itself_goes_on_with_the_masks():
    """`fit` again with a larger `max_epochs`; Lightning makes the optimizers anew."""
    once, twice = callback(Uniform(0.5)), callback(Uniform(0.5))
    masks = [Masks(once), Masks(twice)]
    trainer(once, masks[0], max_epochs=EPOCHS).fit(Classifier(), same_batches())
    runner, module = trainer(twice, masks[1], max_epochs=2), Classifier()
    runner.fit(module, same_batches())
    runner.fit_loop.max_epochs = EPOCHS
    runner.fit(module, same_batches())
    assert masks[0].found == masks[1].found
    assert once.ldb.stats() == twice.ldb.stats()
    assert any(masks[0].found[2 * BATCHES :])


class Breaks(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step == 14:
            raise KeyError("once")


def test_a_run_that_broke_off_goes_on_with_the_masks():
    mine = callback(Uniform(0.5))
    breaks = Breaks()
    runner, module = trainer(mine, breaks, max_epochs=EPOCHS), Classifier()
    with pytest.raises(KeyError):
        runner.fit(module, same_batches())
    runner.callbacks.remove(breaks)
    runner.fit(module, same_batches())
    stats = mine.ldb.stats()
    assert stats["step"] == runner.global_step > 14


@pytest.mark.filterwarnings("ignore:.*lr scheduler.*:UserWarning")
def test_where_a_finder_undoes_a_resumption_masks_begin_anew_like_the_steps(tmp_path):
    whole_run(tmp_path, Uniform(0.5), {"every_n_train_steps": 1})
    mine = callback(Uniform(0.5))
    finder = LearningRateFinder(num_training_steps=8, max_lr=0.1)
    settings = {"max_epochs": EPOCHS, "default_root_dir": tmp_path, "enable_checkpointing": True}
    runner = trainer(finder, mine, **settings)
    runner.fit(WithRate(), same_batches(), ckpt_path=tmp_path / "step=13.ckpt")
    assert mine.ldb.stats()["step"] == runner.global_step == EPOCHS * BATCHES


class WithRate(Classifier):
    lr = 0.05
