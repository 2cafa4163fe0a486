"""One rank's numbers are not finite: all ranks skip the step, or end, alike."""

import math
from dataclasses import replace

import pytest
import torch

from layerdropback.errors import Diverged
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.images.pipeline import Pipeline
from layerdropback.training.loop import Trainer
from layerdropback.training.workers import ALONE, Workers
from workers import in_workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed"),
]

# No BatchNorm, whose statistics are those of a rank's share.
BASE = TrainConfig(
    model="vit_tiny_patch16_224",
    model_args=("embed_dim=32", "depth=3", "num_heads=2"),
    epochs=2,
    batch_size=16,
    lr=0.02,
    clip_grad=1.0,
    nonfinite="skip",
    dropping=Dropping(drop_rate=0.6),
)


def trained(config, workers, steps, here):
    """Two epochs; in these steps, counted from 1, an image is no number, in one process."""
    data = load_data("digits", limit_train=64, limit_test=23)
    real, calls = Pipeline.__call__, 0

    def spoiled(pipeline, batch):
        nonlocal calls
        calls += 1
        images, targets = real(pipeline, batch)
        if calls in steps and here:
            images[0] = math.nan
        return images, targets

    Pipeline.__call__ = spoiled
    try:
        trainer = Trainer(config, data, None, workers)
        rows = []
        for epoch in range(2):
            rows.append(trainer.train_epoch(epoch).as_dict())
            trainer.require_finite()
        return {"rows": rows, "model": trainer.state_dict()["model"]}
    except Diverged as error:
        return {"ended": str(error)}
    finally:
        Pipeline.__call__ = real


def rank_of(rank, kind, policy):
    workers = Workers(rank, torch.distributed.get_world_size(), grouped=True)
    config = replace(BASE, parallel=kind, nonfinite=policy)
    found = trained(config, workers, (2, 6, 7), here=rank == 1)
    return found if rank == 0 or "ended" in found else {"rows": found["rows"]}


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_all_skip_what_one_cannot_make(kind, tmp_path):
    found = in_workers(tmp_path, rank_of, kind, "skip")
    alone = trained(BASE, ALONE, (2, 6, 7), here=True)
    assert [row["skipped"] for row in alone["rows"]] == [1, 2]
    for one in found:
        for mine, theirs in zip(alone["rows"], one["rows"], strict=True):
            assert theirs["skipped"] == mine["skipped"]
            assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-3)
    torch.testing.assert_close(found[0]["model"], alone["model"], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_all_end_with_the_same_words(kind, tmp_path):
    one, other = in_workers(tmp_path, rank_of, kind, "stop")
    assert one == other
    assert "the loss is nan in epoch 1. Cause: training diverged" in one["ended"]
