"""Loops of Lightning that are out of the ordinary, and callbacks that meddle with the model."""

import copy
from itertools import pairwise

import pytest
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    Callback,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers.logger import Logger

from layerdropback import Control, LayerDropBack, LoaderError, Schedule, Truncate, Uniform
from layerdropback.integrations.lightning import LayerDropBackCallback
from lightning_runs import (
    BATCHES,
    QUIET,
    SIZE,
    Classifier,
    Gan,
    assert_same_runs,
    fit,
    loader,
    samples,
    sgd,
    trainer,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


@pytest.mark.parametrize("toggles", [False, True])
@pytest.mark.parametrize(
    "strategy", [Uniform(0.5), Truncate(0.15, "uniform")], ids=["uniform", "truncate"]
)
def test_two_networks_in_turn(strategy, toggles):
    callback = LayerDropBackCallback(strategy, seed=6, verify=True)
    module = fit(Gan(toggles), callback)
    stats = callback.ldb.stats()
    assert stats["step"] == 2 * BATCHES
    assert stats["drop_steps"] >= 2 * BATCHES - 4
    kept = {name for name, times in stats["times_dropped"].items() if not times}
    assert {"generator.2", "discriminator.2"} <= kept
    assert stats["share_dropped"] > 0.05
    assert module.weights


@pytest.mark.parametrize("toggles", [False, True])
def test_two_networks_in_turn_with_nothing_dropped(toggles):
    mine = fit(Gan(toggles), LayerDropBackCallback(Control(), verify=True))
    assert_same_runs(mine, fit(Gan(toggles)))


# ---- callbacks -----------------------------------------------------------------------------------


class Backbone(Classifier):
    def __init__(self):
        super().__init__("halves")
        self.backbone = self.body

    def configure_optimizers(self):
        return sgd(self.head.parameters())


@pytest.mark.filterwarnings("ignore:The provided params to be frozen already exist:UserWarning")
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_backbone_that_thaws(ours_first):
    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    thawing = BackboneFinetuning(unfreeze_backbone_at_epoch=2, backbone_initial_lr=0.01)
    both = [callback, thawing] if ours_first else [thawing, callback]
    with pytest.warns(UserWarning, match="no layer can be dropped in drop epoch 0"):
        fit(Backbone(), *both, max_epochs=4)
    dropped = callback.ldb.stats()["times_dropped"]
    assert {name.partition(".")[0] for name, times in dropped.items() if times} == {"body"}


class Looks(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        self.copied = copy.deepcopy(module)


@pytest.mark.filterwarnings("ignore:Swapping scheduler:UserWarning")
@pytest.mark.parametrize(
    "averaging",
    [
        pytest.param(
            lambda: callbacks.EMAWeightAveraging(decay=0.9),
            marks=pytest.mark.skipif(
                not hasattr(callbacks, "EMAWeightAveraging"), reason="Lightning has it from 2.6 on"
            ),
            id="ema",
        ),
        pytest.param(lambda: StochasticWeightAveraging(swa_lrs=0.01), id="swa"),
    ],
)
def test_averages_of_weights(averaging):
    callback, looks = LayerDropBackCallback(Uniform(0.5), verify=True), Looks()
    fit(Classifier(), averaging(), callback, looks, max_epochs=4)
    assert callback.ldb.stats()["drop_steps"] > 0
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in looks.copied.modules())
    assert all(p.requires_grad for p in looks.copied.parameters())


class WithRate(Classifier):
    def __init__(self):
        super().__init__()
        self.lr, self.batch_size = 0.05, 2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def val_dataloader(self):
        return loader(8)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(loader().dataset, batch_size=self.batch_size)


@pytest.mark.filterwarnings("ignore:.*dataloader.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*lr scheduler.*:UserWarning")
@pytest.mark.parametrize("ours_first", [True, False])
def test_finders_come_before_and_see_a_plain_model(tmp_path, ours_first):
    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    finders = [
        BatchSizeFinder(max_trials=2, init_val=2, steps_per_trial=2),
        LearningRateFinder(num_training_steps=8, max_lr=0.1),
    ]
    module = WithRate()
    both = [callback, *finders] if ours_first else [*finders, callback]
    trainer(*both, default_root_dir=tmp_path, enable_checkpointing=True).fit(module)
    stats = callback.ldb.stats()
    assert stats["step"] == stats["drop_steps"] + 1 > 5


# ---- the batch factor ----------------------------------------------------------------------------


def test_the_batch_factor_of_drop_epochs():
    callback = LayerDropBackCallback(
        Uniform(0.5), Schedule(every=2, start=1), batch_scale=2, verify=True
    )
    module = Classifier()
    runner = trainer(callback, max_epochs=4, check_val_every_n_epoch=1)
    runner.fit(module, loader(), loader(8))
    full, scaled = [SIZE] * BATCHES, [2 * SIZE] * (BATCHES // 2)
    assert module.sizes == (full + scaled) * 2
    assert module.validated == runner.global_step == 30, "validation comes after drop epochs, too"
    assert runner.num_training_batches == BATCHES


def test_the_batch_factor_is_that_of_a_plain_loop():
    schedule = Schedule(every=2, start=1)
    mine = fit(
        Classifier(), LayerDropBackCallback(Uniform(0.5), schedule, batch_scale=2), max_epochs=4
    )
    hand = Classifier()
    optimizer = hand.configure_optimizers()
    ldb = LayerDropBack(hand, optimizer, Uniform(0.5), schedule, batch_scale=2)
    data = loader()
    for epoch in range(4):
        for batch in ldb.epoch(data, epoch):
            hand.training_step(batch, 0).backward()
            optimizer.step()
            optimizer.zero_grad()
            hand.on_train_batch_end(None, batch, 0)
    assert_same_runs(mine, hand)


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(samples())


def test_the_batch_factor_of_a_stream():
    callback = LayerDropBackCallback(
        Uniform(0.5), Schedule(every=2, start=1), batch_scale=2, verify=True
    )
    module = Classifier()
    fit(module, callback, data=torch.utils.data.DataLoader(Stream(), SIZE), max_epochs=3)
    full, scaled = [SIZE] * BATCHES, [2 * SIZE] * (BATCHES // 2)
    assert module.sizes == full + scaled + full


class Skips(Classifier):
    """Lightning's way to leave a batch out; the optimizer steps all the same."""

    def training_step(self, batch, index):
        return super().training_step(batch, index) if index % 3 else None


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.:UserWarning")
def test_batches_that_are_left_out():
    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    module = fit(Skips(), callback)
    stats = callback.ldb.stats()
    assert stats["step"] == 2 * BATCHES
    assert stats["drop_steps"] == 2 * BATCHES - 2, "the first with gradients is the full one"
    moved = [any(not torch.equal(a[n], b[n]) for n in a) for a, b in pairwise(module.weights)]
    assert moved == [bool(place % BATCHES % 3) for place in range(1, 2 * BATCHES)]


def test_a_batch_factor_that_cannot_be_applied_is_refused():
    settings = {"batch_scale": 2, "schedule": Schedule(every=1, start=0)}
    with pytest.raises(LoaderError, match="batch_scale cannot be applied"):
        fit(Classifier(), LayerDropBackCallback(**settings), limit_train_batches=4)
    with pytest.raises(LoaderError, match="it is not a torch DataLoader"):
        fit(Classifier(), LayerDropBackCallback(**settings), data=list(loader()))


# ---- what a logger sees --------------------------------------------------------------------------


class Lines(Logger):
    def __init__(self):
        super().__init__()
        self.lines = []

    name, version = "lines", 0

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        self.lines.append((step, metrics))


def test_numbers_go_to_every_logger():
    lines = Lines()
    callback = LayerDropBackCallback(Truncate(0.5), Schedule(every=2, start=1))
    fit(Classifier(), callback, logger=lines, log_every_n_steps=5)
    ours = [(step, metrics) for step, metrics in lines.lines if "ldb/drops" in metrics]
    drops = [(step, metrics["ldb/drops"]) for step, metrics in ours]
    assert drops == [(4, 0), (9, 0), (14, 1), (19, 1)]
    for name in ("share_dropped", "backward_saved"):
        assert ours[0][1][f"ldb/{name}"] == 0
        assert ours[3][1][f"ldb/{name}"] == pytest.approx(callback.ldb.stats()[name])
        assert ours[3][1][f"ldb/{name}"] > 0
