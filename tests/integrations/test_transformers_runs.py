"""How runs of Trainer begin, log, begin again and end, with the callback."""

import pytest
import torch
from transformers import TrainerCallback

from layerdropback import AttachError, EpochError, LoaderError, Schedule, Uniform
from layerdropback.integrations.transformers import LayerDropBackCallback
from trainer_runs import QUIET, SAMPLES, Steps, made, run, samples

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

PER_EPOCH = SAMPLES // 2


def test_data_without_a_length(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from samples("bert")

    def streamed(**settings):
        from transformers import Trainer

        return Trainer(**(settings | {"train_dataset": Stream()}))

    callback = LayerDropBackCallback(Uniform(0.5), Schedule(every=2, start=1), verify=True)
    run("bert", tmp_path, callback, kind=streamed, max_steps=3 * PER_EPOCH)
    assert callback.ldb.stats()["step"] == 3 * PER_EPOCH
    assert callback.ldb.stats()["drop_steps"] == PER_EPOCH


class Lines(TrainerCallback):
    """A logger, which stands before the user's callbacks."""

    def __init__(self):
        self.seen = []

    def on_log(self, args, state, control, logs=None, **_):
        self.seen.append(dict(logs))


def test_numbers_go_where_the_trainer_logs(tmp_path):
    callback, lines = LayerDropBackCallback(Uniform(0.5), Schedule(every=2, start=1)), Lines()
    history = run("bert", tmp_path, lines, callback).state.log_history
    steps = [(line["step"], line["ldb/drops"]) for line in history if "loss" in line]
    assert steps == [(5, 0), (10, 0), (15, 1), (20, 1)]
    assert "ldb/drops" not in history[-1], "the last line is the whole run's"
    ours = [line for line in lines.seen if "loss" in line]
    assert [{"step": step} | line for line, (step, _) in zip(ours, steps, strict=True)] == [
        line for line in history if "loss" in line
    ]
    shares = [line["ldb/share_dropped"] for line in ours]
    assert shares[1] == 0 < shares[3]


def test_an_epochs_last_step_is_logged_though_the_epoch_has_ended(tmp_path):
    callback = LayerDropBackCallback()
    history = run("bert", tmp_path, callback, logging_strategy="epoch").state.log_history
    lines = [line for line in history if "loss" in line]
    assert [line["ldb/drops"] for line in lines] == [1, 1]
    saved = [line["ldb/backward_saved"] for line in lines]
    assert 0.2 < saved[0] < saved[1], "the first epoch's first step was a full one"
    assert saved[1] == callback.ldb.stats()["backward_saved"]


def test_epochs_that_are_cut_short_are_counted(tmp_path):
    class Short(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_epoch_stop = state.global_step % 3 == 0

    callback = LayerDropBackCallback(Uniform(0.9), Schedule(every=2, start=1))
    steps = Steps(callback)
    run("bert", tmp_path, callback, Short(), steps, num_train_epochs=4)
    drops = [bool(names) for names in steps.dropped]
    assert drops == [False] * 3 + [True] * 3 + [False] * 3 + [True] * 3


def test_a_run_that_failed_is_detached_by_the_next(tmp_path):
    class Fails(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **_):
            if state.global_step == 3:
                raise LookupError("no more")

    callback, model = LayerDropBackCallback(Uniform(0.5), verify=True), made("bert")
    with pytest.raises(LookupError, match="no more"):
        run("bert", tmp_path, callback, Fails(), model=model)
    run("bert", tmp_path, callback, model=model)
    assert callback.ldb.stats()["step"] == 2 * PER_EPOCH


def test_two_callbacks_are_refused(tmp_path):
    with pytest.raises(AttachError, match="the trainer has more than one LayerDropBackCallback"):
        run("bert", tmp_path, LayerDropBackCallback(), LayerDropBackCallback("branch"))


def test_deepspeed_is_refused(tmp_path):
    def sped(**settings):
        from transformers import Trainer

        trainer = Trainer(**settings)
        enabled = TrainerCallback()
        enabled.on_train_begin = lambda *_, **__: setattr(trainer, "is_deepspeed_enabled", True)
        trainer.callback_handler.callbacks.insert(0, enabled)
        return trainer

    with pytest.raises(AttachError, match="the trainer uses DeepSpeed"):
        run("bert", tmp_path, LayerDropBackCallback(), kind=sped)


def test_a_run_that_ran_out_of_memory_begins_anew(tmp_path):
    class Once(TrainerCallback):
        sizes = ()

        def on_step_begin(self, args, state, control, train_dataloader=None, **_):
            if state.global_step == 3 and not self.sizes:
                self.sizes = (train_dataloader.total_batch_size,)
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    trainer = run("bert", tmp_path, callback, Once(), auto_find_batch_size=True)
    assert callback.ldb.stats()["step"] == trainer.state.global_step
    assert not any(m._forward_pre_hooks for m in trainer.model.modules())


def test_a_second_training_attaches_anew(tmp_path):
    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    trainer = run("bert", tmp_path, callback)
    first = callback.ldb
    trainer.train()
    assert callback.ldb is not first
    assert callback.ldb.stats()["step"] == 2 * PER_EPOCH


def test_bad_values_are_refused_at_once():
    with pytest.raises(AttachError, match=r"preset='fine' is unknown"):
        LayerDropBackCallback(preset="fine")
    with pytest.raises(AttachError, match=r"strategy='droppath' is not usable"):
        LayerDropBackCallback("droppath")
    with pytest.raises(
        LoaderError, match=r"batch_scale=2 cannot be applied\. Cause: Trainer counts"
    ):
        LayerDropBackCallback(batch_scale=2)
    with pytest.raises(LoaderError, match="batch_scale=2 cannot be applied"):
        LayerDropBackCallback(preset="paper-finetune")


def test_a_callback_that_no_trainer_calls_is_refused():
    with pytest.raises(EpochError, match="LayerDropBackCallback was called by no Trainer"):
        LayerDropBackCallback().on_train_begin(None, None, None)


def test_a_schedule_that_never_drops_is_told(tmp_path):
    late = LayerDropBackCallback(schedule=Schedule())
    with pytest.warns(UserWarning, match=r"nothing will be dropped: the run has 1 epoch\. Cause"):
        run("bert", tmp_path, late, num_train_epochs=1)
    late = LayerDropBackCallback(schedule=Schedule(steps=100))
    with pytest.warns(UserWarning, match=r"the run has 1 period of 100 steps"):
        run("bert", tmp_path, late, num_train_epochs=1)
    run("bert", tmp_path, LayerDropBackCallback(schedule=Schedule(steps=3)), num_train_epochs=1)
