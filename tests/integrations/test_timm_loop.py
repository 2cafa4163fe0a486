"""The pieces of timm's training loop: mixup, layer-wise rates, Lookahead, scaler and EMA."""

import numpy as np
import pytest
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3, NativeScaler

from attached import (
    assert_same_weights,
    dropped_names,
    dropping,
    each_strategy,
    flags,
    snapshot,
    unmoved,
)
from layerdropback import LayerDropBack
from twins import ALWAYS
from zoo import CLASSES, ZOO

STEPS = 8


class Run:
    """A model with all the pieces.

    Args:
        strategy: or the name of one; None for plain training.
        kind: of the optimizer, as timm names it.
        accumulate: so many batches make a step.
        **settings: of LayerDropBack.
    """

    def __init__(self, strategy, kind="lookahead_adamw", accumulate=1, **settings):
        self.entry, self.accumulate = ZOO["vit"], accumulate
        self.model = self.entry.model()
        settings_of_timm = {"lr": 0.01, "weight_decay": 0.05, "layer_decay": 0.75}
        self.optimizer = create_optimizer_v2(self.model, opt=kind, **settings_of_timm)
        updates = STEPS // accumulate
        self.scheduler, _ = create_scheduler_v2(
            self.optimizer, num_epochs=4, warmup_epochs=1, updates_per_epoch=updates
        )
        self.ema = ModelEmaV3(self.model, decay=0.9)
        self.scaler = NativeScaler(device="cpu")
        self.mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, num_classes=CLASSES)
        self.ldb, self.masks, self.updates = None, [], 0
        if strategy is not None:
            chosen = dropping(strategy) if isinstance(strategy, str) else strategy
            settings = {"verify": True, "schedule": ALWAYS} | settings
            self.ldb = LayerDropBack(self.model, self.optimizer, chosen, **settings)

    def train(self, epochs=2, watch=lambda step: step()):
        np.random.seed(0)  # mixup's
        for epoch in range(epochs):
            batches = self.entry.batches(STEPS)
            self.model.train()
            for number, batch in enumerate(self.batches(batches, epoch), 1):
                inputs, targets = self.mixup(*batch)
                loss = SoftTargetCrossEntropy()(self.model(inputs), targets) / self.accumulate
                due = number % self.accumulate == 0
                watch(lambda loss=loss, due=due: self.step(loss, due))
            self.scheduler.step(epoch + 1)
        return self

    def batches(self, batches, epoch):
        return batches if self.ldb is None else self.ldb.epoch(batches, epoch)

    def step(self, loss, due):
        parameters = self.model.parameters()
        self.scaler(loss, self.optimizer, clip_grad=1.0, parameters=parameters, need_update=due)
        if due:
            self.optimizer.zero_grad()
            self.updates += 1
            self.ema.update(self.model, step=self.updates)
            self.scheduler.step_update(self.updates)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("kind", ["lookahead_adamw", "sgd"])
def test_rate_0_is_the_plain_run_bit_for_bit(kind, accumulate):
    plain = Run(None, kind, accumulate).train()
    mine = Run(dropping("uniform", 0.0), kind, accumulate, lr_scale=2.0).train()
    assert_same_weights(plain.model, mine.model)
    assert_same_weights(plain.ema, mine.ema)
    states = [run.optimizer.state_dict() for run in (plain, mine)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert not torch.equal(mine.model.head.weight, ZOO["vit"].model().head.weight)


@each_strategy
@pytest.mark.parametrize("kind", ["lookahead_adamw", "adamw", "lookahead_sgd"])
def test_dropped_layers_stand_still_and_kept_ones_move(kind, strategy):
    run = Run(strategy, kind)
    dropped = []

    def watched(step):
        names, before = dropped_names(run.ldb), snapshot(run.model, run.inner())
        step()
        still = unmoved(before, snapshot(run.model, run.inner()))
        assert still == names
        dropped.append(len(names))

    run.inner = lambda: getattr(run.optimizer, "_base_optimizer", run.optimizer)
    run.train(watch=watched)
    stats = run.ldb.stats()
    assert stats["drop_steps"] == len(dropped) - 1 == 2 * STEPS - 1
    assert sum(dropped) > 0
    assert stats["share_dropped"] > 0
    assert all(flags(run.model).values())


@each_strategy
def test_masks_are_those_of_a_plain_loop_with_the_same_seed(strategy):
    run, masks = Run(strategy, seed=7), []

    def watched(step):
        masks.append(None if run.ldb.mask is None else run.ldb.mask.tolist())
        step()

    run.train(watch=watched)
    entry = ZOO["vit"]
    model = entry.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    plain = LayerDropBack(model, optimizer, dropping(strategy), ALWAYS, seed=7)
    assert entry.train(plain, model, optimizer, range(2), STEPS) == masks


def test_the_rates_of_layer_decay_are_back_after_each_step():
    run, plain = Run("uniform", lr_scale=2.0), Run(None)
    for each in (run, plain):
        each.train()
    rates = [[group["lr"] for group in each.optimizer.param_groups] for each in (run, plain)]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 2
