"""Each feature of the trainer: off is plain training bit for bit, and on it does what it says."""

import functools
from dataclasses import replace

import pytest
import torch

from layerdropback import UsageError
from layerdropback.training import loop
from layerdropback.training.compiling import compile_blocks
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from layerdropback.training.optimizing import make_optimizer, make_schedule

DATA = load_data("digits", limit_train=64, limit_test=20)
SOME = load_data("digits", limit_train=32, limit_test=20)
FEW = load_data("digits", limit_train=16, limit_test=4)  # for fp16, which takes long on a CPU
BASE = TrainConfig(
    model="test_resnet",
    epochs=2,
    batch_size=16,
    dropping=Dropping(drop_rate=0.0, lr_scale=3.0, batch_scale=2),
)
FEATURES = {
    "nothing": {},
    "accumulate": {"accumulate": 2},
    "clip": {"clip_grad": 0.5},
    "ema": {"ema": 0.9},
    "label smoothing": {"label_smoothing": 0.1},
    "mixing": {"mixup": 0.2, "cutmix": 1.0},
    "rotate": {"rotate": 15.0},
    "no augmentation": {"augment": False},
    "by image": {"randaugment": True, "erasing": 0.3, "workers": 0},
    "workers": {"crop": "resized", "workers": 1},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "channels last": {"channels_last": True},
    "warm-up": {"warmup_epochs": 1.0},
    "steps": {"schedule": "steps"},
    "linear": {"schedule": "linear"},
    "constant": {"schedule": "constant"},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "decay_all": False},
    "layer decay": {"layer_decay": 0.8},
    "head": {"head_init_scale": 0.1},
    "crops": {"crop": "resized", "scale": 0.9, "workers": 0},
    "timm's": {"optimizer": "lion", "lr": 1e-4},
    "no momentum": {"momentum": 0.0},
}


class NoLayerDropBack:
    """What is left of a training loop without the two lines."""

    def __init__(self, model, optimizer, *arguments, **settings):
        self.steps = 0
        optimizer.register_step_post_hook(self._count)

    def _count(self, *arguments):
        self.steps += 1

    def epoch(self, loader, epoch):
        return loader

    def stats(self):
        return {
            "share_dropped": 0.0,
            "backward_saved": None,
            "lr_factor": 1.0,
            "step": self.steps,
            "gradient_bytes": None,
        }


def finished(config, data=DATA):
    trainer = Trainer(config, data)
    try:
        metrics = [trainer.train_epoch(epoch) for epoch in range(config.epochs)]
    finally:
        trainer.pipeline.close()
    return trainer, metrics


def data_for(name):
    return FEW if name == "fp16" else SOME


@functools.cache
def featured(name, data):
    """Weights and metrics of a run with a feature."""
    trainer, metrics = finished(replace(BASE, **FEATURES[name]), data)
    return trainer.tested.state_dict(), metrics


# On a CPU it takes seconds. What is skipped and scaled with it is quick to see, further down.
WITHOUT_FP16 = [
    pytest.param(name, marks=pytest.mark.slow if name == "fp16" else ()) for name in FEATURES
]


@pytest.mark.parametrize("name", WITHOUT_FP16)
def test_off_is_plain_training_bit_for_bit(name, monkeypatch):
    off, metrics = featured(name, data_for(name))
    monkeypatch.setattr(loop, "LayerDropBack", NoLayerDropBack)
    plain, expected = finished(replace(BASE, **FEATURES[name]), data_for(name))
    weights = plain.tested.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in off.items())
    assert [m.train_loss for m in metrics] == [m.train_loss for m in expected]
    assert [m.test_loss for m in metrics] == [m.test_loss for m in expected]
    assert all(m.mode == "full" for m in metrics)


@pytest.mark.parametrize("name", [case for case in WITHOUT_FP16 if case.values != ("nothing",)])
def test_a_feature_changes_training(name):
    """Otherwise the test above would say nothing."""
    plain, other = (featured(each, data_for(name))[0] for each in ("nothing", name))
    assert any(not torch.equal(value, other[key]) for key, value in plain.items())


def test_phases_are_parts_of_the_time_and_the_peak_is_told():
    _, metrics = finished(BASE)
    for epoch in metrics:
        assert list(epoch.phases) == ["data", "forward", "backward", "optimizer"]
        assert all(seconds > 0 for seconds in epoch.phases.values())
        assert 0.5 * epoch.seconds < sum(epoch.phases.values()) <= epoch.seconds
        assert epoch.images_per_second == pytest.approx(64 / epoch.seconds)
        assert 100 < epoch.peak_memory_mib < 100_000


@pytest.mark.in_turn("scale")
@pytest.mark.parametrize("schedule", ["cosine", "linear", "steps"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_scaled_batch_does_not_stretch_the_schedule(schedule, scale):
    """At the same number of images seen the rate is the same, whatever the batch."""
    rates = {}

    class Recording(Trainer):
        pass

    config = replace(BASE, schedule=schedule, epochs=4, dropping=Dropping(batch_scale=scale))
    trainer = Recording(config, DATA)
    update = trainer._schedule.step_update

    def recorded(seen):
        update(seen)
        rates[seen] = trainer.optimizer.param_groups[0]["lr"]

    trainer._schedule.step_update = recorded
    for epoch in range(4):
        trainer.train_epoch(epoch)
    model = torch.nn.Linear(2, 2)
    expected = make_schedule(config, make_optimizer(config, model), 64)
    for seen, rate in rates.items():
        expected.step_update(seen)
        assert rate == expected.optimizer.param_groups[0]["lr"]
    assert len(rates) == 2 * 4 + 2 * 4 // scale
    first, last = rates[min(rates)], rates[max(rates)]
    assert 0.9 * config.lr < first <= config.lr
    assert 0 < last < 0.25 * config.lr


def test_a_warm_up_rises_to_the_peak():
    config = replace(BASE, warmup_epochs=1.0, epochs=2)
    optimizer = make_optimizer(config, torch.nn.Linear(2, 2))
    schedule = make_schedule(config, optimizer, 100)
    rates = []
    for seen in (5, 50, 95, 100, 150, 199):
        schedule.step_update(seen)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(0.05 * config.lr)
    assert rates[1] == pytest.approx(0.5 * config.lr)
    assert rates[3] == config.lr
    assert rates[4] == pytest.approx(0.5 * config.lr)
    assert rates[5] < 0.001 * config.lr


def test_decay_can_leave_out_biases_and_norms():
    trainer = Trainer(replace(BASE, decay_all=False), DATA)
    decays = {
        id(p): group["weight_decay"]
        for group in trainer.optimizer.param_groups
        for p in group["params"]
    }
    for name, parameter in trainer.model.named_parameters():
        assert decays[id(parameter)] == (0 if parameter.ndim == 1 else BASE.weight_decay), name


def test_layers_far_from_the_head_can_be_slower():
    model = Trainer(BASE, DATA).model
    for decay_all in (True, False):
        config = replace(BASE, layer_decay=0.5, decay_all=decay_all, warmup_epochs=1.0, lr=0.1)
        optimizer = make_optimizer(config, model)
        schedule = make_schedule(config, optimizer, 64)
        rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
        assert rates.keys() == {id(p) for p in model.parameters()}
        for seen, peak in ((32, 0.05), (64, 0.1)):
            schedule.step_update(seen)
            rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
            found = [
                rates[id(model.get_submodule(n).weight)] for n in ("conv1.0", "layer1.0.conv1")
            ]
            assert rates[id(model.fc.weight)] == pytest.approx(peak)
            assert found[0] < found[1] < peak
        decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
        assert (decayed == rates.keys()) == decay_all
    _, metrics = finished(replace(BASE, layer_decay=0.5, schedule="constant"))
    assert [m.lr for m in metrics] == [BASE.lr] * 2, "the head's is told"


def test_an_average_is_what_is_tested():
    trainer, metrics = finished(replace(BASE, ema=0.9))
    assert trainer.tested is trainer.ema.module
    assert not torch.equal(trainer.tested.fc.weight, trainer.model.fc.weight)
    assert not any(module._forward_hooks for module in trainer.tested.modules())
    trainer.ema = None
    again = trainer._metrics(replace_so_far(metrics[-1]), None)
    assert again.test_loss != metrics[-1].test_loss


def replace_so_far(metrics):
    from layerdropback.training.metrics import SoFar

    return SoFar(1, metrics.steps, 64, 1.0, 1.0, seconds=1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_blocks_train_alike_and_need_few_graphs():
    """For any number of masks: trained or not, with a gradient for the input or not, and tested."""
    dropping = Dropping(unit="block", every=1, start=0)
    config = replace(BASE, epochs=6, dropping=dropping, compile="blocks")
    from torch._dynamo.utils import counters

    counters.clear()
    _, metrics = finished(config)
    assert 0 < counters["stats"]["unique_graphs"] <= 4 * 5
    assert not counters["unimplemented"]
    _, eager = finished(replace(config, compile="no"))
    for one, other in zip(metrics, eager, strict=True):
        # Rounding differs, and grows as any difference does.
        close = 0.01 if one.epoch <= 2 else 0.1
        assert one.train_loss == pytest.approx(other.train_loss, rel=close)


def test_blocks_are_what_is_compiled(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self)))
    trainer = Trainer(BASE, DATA)
    assert compile_blocks(trainer.model) == len(compiled) == 4


def test_steps_that_the_loss_scaling_skips_are_told(monkeypatch):
    def scaled(scale):
        trainer = Trainer(replace(BASE, precision="fp16", epochs=1, batch_size=4), FEW)
        trainer._precision.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        return trainer

    metrics = scaled(1.0).train_epoch(0)
    assert (metrics.steps, metrics.skipped) == (4, 0)
    trainer = scaled(2.0**60)
    with pytest.warns(UserWarning, match="no step of epoch 1 was made. Cause: all gradients"):
        assert trainer.train_epoch(0).skipped == 4


def test_a_model_without_blocks_is_not_compiled_in_silence(monkeypatch):
    monkeypatch.setattr(loop, "compile_blocks", lambda model: 0)
    with pytest.raises(UsageError, match="--compile blocks is not usable with test_resnet"):
        Trainer(replace(BASE, compile="blocks"), DATA)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_no_step_asks_the_device_for_a_number(rate, monkeypatch):
    """On a GPU each waits. As many are asked in an epoch of 8 steps as in one of 4."""
    asked = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        ask = getattr(torch.Tensor, name)
        counted = lambda *given, ask=ask, name=name: (asked.append(name), ask(*given))[1]  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, counted)
    counts = []
    for size in (16, 8):
        dropping = BASE.dropping.changed(drop_rate=rate, batch_scale=1)
        config = replace(BASE, batch_size=size, ema=0.9, accumulate=2, dropping=dropping, epochs=8)
        trainer = Trainer(config, DATA)
        # In its first drop steps LayerDropBack looks whether the optimizer moves what was dropped.
        trainer.ldb._engine._steps._looks = 0
        trainer.train_epoch(0)
        asked.clear()
        trainer.train_epoch(1)
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0
