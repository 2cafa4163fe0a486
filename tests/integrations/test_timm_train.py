"""The diff of docs/recipes.md for timm's train.py, applied to a script of the same structure."""

import argparse
import runpy

import pytest
import torch

from recipes import blocks

# What timm's script does around an epoch, in its order and with its names, on the zoo's ViT.
SCRIPT = """
import os
import numpy as np
import torch
from timm import utils
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask, resume_task_checkpoint
from timm.utils import NativeScaler
from zoo import CLASSES, ZOO


def main(args):
    device = torch.device('cpu')
    model = ZOO['vit'].model()
    optimizer = create_optimizer_v2(model, opt='lookahead_adamw', lr=0.01, layer_decay=0.75)
    loss_scaler = NativeScaler(device='cpu')
    task = ClassificationTask(model, criterion=SoftTargetCrossEntropy(), device=device)
    task.setup_ema(decay=0.9)
    resume_epoch = None
    if args.resume:
        resume_epoch = resume_task_checkpoint(task, args.resume, optimizer, loss_scaler)
    if args.distributed:
        task.prepare_distributed(device_ids=[device])
    mixup_fn = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, num_classes=CLASSES)
    loader_train = ZOO['vit'].batches(8)
    output_dir = args.output
    saver = utils.CheckpointSaver(
        model=model, optimizer=optimizer, args=args, amp_scaler=loss_scaler, task=task,
        checkpoint_dir=output_dir, recovery_dir=output_dir, decreasing=True,
    )

    # setup learning rate schedule and starting epoch
    lr_scheduler, _ = create_scheduler_v2(
        optimizer, num_epochs=4, warmup_epochs=1, updates_per_epoch=4
    )
    start_epoch = resume_epoch or 0
    if start_epoch > 0:
        lr_scheduler.step(start_epoch)
    for epoch in range(start_epoch, args.epochs):
            train_metrics = train_one_epoch(
                epoch, task, loader_train, optimizer, loss_scaler, mixup_fn, lr_scheduler,
            )
            if args.distributed and args.dist_bn in ('broadcast', 'reduce'):
                utils.distribute_bn(model, args.world_size, args.dist_bn == 'reduce')
            latest_metric = train_metrics['loss']
            if saver is not None:
                best_metric, best_epoch = saver.save_checkpoint(epoch, metric=latest_metric)
            lr_scheduler.step(epoch + 1, latest_metric)
    return locals()


def train_one_epoch(epoch, task, loader, optimizer, loss_scaler, mixup_fn, lr_scheduler):
    np.random.seed(epoch)
    task.train()
    num_updates = epoch * 4
    optimizer.zero_grad()
    for batch_idx, (input, target) in enumerate(loader):
        need_update = (batch_idx + 1) % 2 == 0
        input, target = mixup_fn(input.clone(), target)  # it mixes in place
        result = task(input, target)
        loss_scaler(
            result['loss'] / 2, optimizer, clip_grad=1.0, need_update=need_update,
            parameters=task.get_clip_parameters(),
        )
        if not need_update:
            continue
        num_updates += 1
        optimizer.zero_grad()
        task.update_ema(step=num_updates)
        lr_scheduler.step_update(num_updates=num_updates)
    optimizer.sync_lookahead()
    return {'loss': result['loss'].item()}
"""


def hunks():
    """What each hunk wants to find, and what it puts there."""
    found = []
    for line in blocks("diff")["timm's train.py"].splitlines()[2:]:
        if line.startswith("@@"):
            found.append(([], []))
        else:
            for number, signs in enumerate((" -", " +")):
                if line[0] in signs:
                    found[-1][number].append(line[1:])
    return found


def patched():
    text = SCRIPT
    for before, after in hunks():
        before, after = ("\n".join(lines) + "\n" for lines in (before, after))
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture
def train(tmp_path, monkeypatch):
    pytest.importorskip("timm.task", reason="timm's script has tasks from 1.0.27 on")
    """Call the script's main with a text of the script; what it knows at the end."""

    def call(text, output, epochs, resume=""):
        file = tmp_path / "train.py"
        file.write_text(text)
        folder = tmp_path / output
        folder.mkdir(exist_ok=True)
        args = argparse.Namespace(resume=resume, output=str(folder), epochs=epochs)
        args.distributed, args.model, args.dist_bn = False, "vit", ""
        return runpy.run_path(str(file))["main"](args)

    return call


def test_ten_lines_are_changed():
    changes = [
        line for line in blocks("diff")["timm's train.py"].splitlines()[2:] if line[0] in "+-"
    ]
    assert len([line for line in changes if line[0] == "+"]) <= 10


def test_the_patched_script_drops(train):
    ldb = train(patched(), "run", 4)["ldb"]
    stats = ldb.stats()
    assert stats["step"] == 16
    assert stats["drop_steps"] == 8
    assert stats["share_dropped"] > 0
    assert not ldb.is_drop_epoch


def test_at_rate_0_it_is_the_script_as_it_was_bit_for_bit(train):
    plain = train(SCRIPT, "plain", 2)
    mine = train(patched().replace("Truncate(0.5)", "Truncate(0)"), "mine", 2)
    for one, other in ((plain["task"], mine["task"]), (plain["optimizer"], mine["optimizer"])):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(train, tmp_path):
    whole = train(patched(), "whole", 4)
    train(patched(), "first", 2)
    last = str(tmp_path / "first" / "last.pth.tar")
    second = train(patched(), "second", 4, resume=last)
    assert second["ldb"].stats() == whole["ldb"].stats()
    assert any(whole["ldb"].stats()["times_dropped"].values())
    for part in ("model", "optimizer"):
        states = [found[part].state_dict() for found in (whole, second)]
        torch.testing.assert_close(*states, rtol=0, atol=0)
