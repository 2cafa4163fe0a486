"""BatchNorm layers in evaluation mode while a network trains."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from layerdropback.training.config import TrainConfig
from layerdropback.training.images.data import load_data
from layerdropback.training.loop import Trainer
from layerdropback.training.norms import batch_norms

CUT = {"strategy": "truncate", "drop_rate": 0.5, "every": 1, "start": 0}


def trained(tmp_path, **changes):
    """A network before and after an epoch, and its trainer."""
    path = tmp_path / "first.safetensors"
    save_file(timm.create_model("test_resnet", in_chans=1).state_dict(), path)
    settings = {"model": "test_resnet", "init": path, "batch_size": 16, "epochs": 1, **changes}
    trainer = Trainer(TrainConfig.from_dict(settings), load_data("digits", limit_train=96))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train_epoch(0)
    moved = {n for n, v in trainer.model.state_dict().items() if not torch.equal(v, before[n])}
    return trainer, moved


def statistics(trainer):
    names = dict(trainer.model.named_buffers())
    return {name for name in names if name.endswith(("running_mean", "running_var"))}


def test_all_stay_and_their_weights_train(tmp_path):
    trainer, moved = trained(tmp_path, bn_eval="all", drop_rate=0.0)
    buffers = {name for name, _ in trainer.model.named_buffers()}
    assert len(batch_norms(trainer.model)) * 3 == len(buffers) > 0
    assert not moved & buffers, "num_batches_tracked among them"
    assert dict(trainer.model.named_parameters()).keys() <= moved


def test_no_is_as_ever(tmp_path):
    trainer, moved = trained(tmp_path, drop_rate=0.0)
    assert statistics(trainer) <= moved


def test_those_below_a_fixed_cut_stay_from_its_first_step_on(tmp_path):
    trainer, _ = trained(tmp_path, bn_eval="dropped", **CUT)
    below = {name.rpartition(".")[0] for name, c in chances(trainer) if c == 1}
    above = {name.rpartition(".")[0] for name, c in chances(trainer) if c == 0}
    counts = {
        name.removesuffix(".num_batches_tracked"): int(value)
        for name, value in trainer.model.named_buffers()
        if name.endswith("num_batches_tracked")
    }
    assert {counts[name] for name in below & counts.keys()} == {1}, "the recorded step alone"
    assert {counts[name] for name in above & counts.keys()} == {6}


def chances(trainer):
    drop = trainer.ldb.stats()["drop_chances"]
    return [(name, drop[la.name]) for la in trainer.ldb.layers for name in la.parameter_names]


def test_random_masks_take_their_norms_with_them(tmp_path):
    uniform = {"every": 1, "start": 0, "drop_rate": 0.5}
    trainer, _ = trained(tmp_path, bn_eval="dropped", **uniform)
    counts = [int(b) for n, b in trainer.model.named_buffers() if n.endswith("tracked")]
    assert min(counts) >= 1
    assert min(counts) < max(counts) <= 6


@pytest.mark.parametrize("which", ["no", "all", "dropped"])
def test_the_test_is_in_evaluation_mode_and_training_goes_on_in_its_own(which, tmp_path):
    trainer, _ = trained(tmp_path, bn_eval=which, epochs=2, **CUT)
    modes = [norm.training for norm in batch_norms(trainer.model)]
    assert any(modes) == (which != "all")
    assert all(modes) == (which == "no")
    others = [m for m in trainer.model.modules() if m not in batch_norms(trainer.model)]
    assert all(module.training for module in others)
