"""The callback for Lightning: right, silent where nothing drops, and the plain loop's masks."""

import itertools

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from layerdropback import (
    AttachError,
    Branch,
    Control,
    LayerDropBack,
    Schedule,
    Truncate,
    Uniform,
)
from layerdropback.integrations.lightning import LayerDropBackCallback
from lightning_runs import (
    BATCHES,
    QUIET,
    Classifier,
    Masks,
    States,
    assert_same_runs,
    fit,
    loader,
    trainer,
)

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]

ALL = [Uniform(0.5), Truncate(0.4, "uniform"), Branch(0.5)]
each_strategy = pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.name)
each_call = pytest.mark.parametrize("calls", ["self", "net", "halves"])


@each_call
@pytest.mark.parametrize("strategy", [Uniform(0), Truncate(0), Branch(0), Control()])
def test_a_rate_of_zero_is_lightnings_own_run(strategy, calls):
    mine = fit(Classifier(calls), LayerDropBackCallback(strategy, verify=True))
    assert_same_runs(mine, fit(Classifier(calls)))


@pytest.mark.in_turn("strategy")
@each_call
@each_strategy
def test_masks_and_weights_are_those_of_the_plain_loop(strategy, calls):
    schedule = Schedule(every=2, start=1)
    callback = LayerDropBackCallback(strategy, schedule, seed=5, verify=True, lr_scale=1.5)
    mine = fit(Classifier(calls), callback, max_epochs=4)
    hand = Classifier(calls)
    optimizer = hand.configure_optimizers()
    ldb = LayerDropBack(hand, optimizer, strategy, schedule, seed=5, lr_scale=1.5)
    for epoch in range(4):
        for batch in ldb.epoch(loader(), epoch):
            hand.training_step(batch, 0).backward()
            optimizer.step()
            optimizer.zero_grad()
            hand.on_train_batch_end(None, batch, 0)
    assert callback.ldb.stats() == ldb.stats()
    assert callback.ldb.stats()["drop_steps"] == 2 * BATCHES
    assert_same_runs(mine, hand)


@each_strategy
def test_weights_and_states_of_what_is_dropped_stand_still_and_of_nothing_else(strategy):
    callback = LayerDropBackCallback(strategy)
    states, masks = States(), Masks(callback)
    module = fit(Classifier(), callback, states, masks)
    names = set(module.weights[0])
    assert any(masks.found)
    steps = zip(
        masks.found[1:],
        itertools.pairwise(module.weights),
        itertools.pairwise(states.found),
        strict=True,
    )
    for dropped, weights, buffers in steps:
        for before, after in (weights, buffers):
            still = {name for name in names if same(before[name], after[name])}
            assert still == dropped


def same(one, other):
    return one is other is None or (
        one is not None and other is not None and torch.equal(one, other)
    )


def test_what_trains_decides_about_the_loss():
    """LMFlow#726, ms-swift#10140: curves were the same whatever the number of layers."""
    losses = []
    for share in (0.0, 0.2, 0.5):
        module = fit(Classifier(), LayerDropBackCallback(Truncate(share)))
        losses.append(float(torch.stack([w.sum() for w in module.weights[-1].values()]).sum()))
    assert len(set(losses)) == 3


class Graph(Callback):
    """Which of the network's outputs require a gradient, while the callback drops."""

    def __init__(self):
        self.seen = {}

    def on_train_start(self, trainer, module):
        for name, child in module.net.named_children():
            child.register_forward_hook(lambda m, a, out, name=name: self._note(name, out))

    def _note(self, name, out):
        self.seen.setdefault(name, []).append(out.requires_grad)


def test_backward_stops_at_the_cut():
    graph = Graph()
    fit(Classifier("net"), LayerDropBackCallback(), graph, max_epochs=1)
    assert graph.seen["0"] == [True] + [False] * (BATCHES - 1)
    assert graph.seen["3"] == [True] * BATCHES


def test_the_last_window_of_an_epoch_may_be_shorter():
    callback = LayerDropBackCallback(Uniform(0.5), verify=True)
    module = fit(Classifier(), callback, accumulate_grad_batches=4)
    assert callback.ldb.stats()["step"] == 2 * 3
    moved = [
        any(not torch.equal(a[n], b[n]) for n in a) for a, b in itertools.pairwise(module.weights)
    ]
    assert moved == [place % 10 in (2, 6, 8) for place in range(2 * BATCHES - 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16-mixed"},
        {"precision": "64-true"},
        {"gradient_clip_val": 0.1},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"detect_anomaly": True},
        {"max_steps": 13, "max_epochs": -1},
        {"limit_train_batches": 4},
        {"overfit_batches": 2},
    ],
    ids=str,
)
@each_strategy
def test_the_trainers_own_features(strategy, changes):
    callback = LayerDropBackCallback(strategy, verify=True)
    fit(Classifier(), callback, **changes)
    stats = callback.ldb.stats()
    assert stats["drop_steps"] == stats["step"] - 1 > 0
    assert stats["share_dropped"] > 0


def test_validation_in_the_midst_of_an_epoch_disturbs_nothing():
    def run(**changes):
        module = Classifier()
        callback = LayerDropBackCallback(Uniform(0.5), verify=True)
        runner = trainer(callback, **changes)
        runner.fit(module, loader(), loader(8))
        return module, callback.ldb.stats()

    (often, one), (never, other) = run(val_check_interval=3), run(limit_val_batches=0)
    assert often.validated > 0
    assert one == other
    assert_same_runs(often, never)


def test_bad_values_are_refused_at_once():
    with pytest.raises(AttachError, match=r"preset='fine' is unknown"):
        LayerDropBackCallback(preset="fine")
    with pytest.raises(AttachError, match=r"strategy='droppath' is not usable"):
        LayerDropBackCallback("droppath")
    with pytest.raises(AttachError, match=r"seed=-1 is not usable"):
        LayerDropBackCallback(seed=-1)


def test_a_schedule_that_never_drops_is_told():
    callback = LayerDropBackCallback(schedule=Schedule(every=2, start=1))
    with pytest.warns(UserWarning, match=r"nothing will be dropped: the run has 1 epoch\. Cause"):
        fit(Classifier(), callback, max_epochs=1)
    fit(Classifier(), LayerDropBackCallback(schedule=Schedule(steps=3)), max_epochs=1)


def test_a_module_that_was_compiled_as_a_whole_is_refused():
    module = torch.compile(Classifier(), backend="eager")
    with pytest.raises(AttachError, match="the LightningModule was compiled as a whole"):
        fit(module, LayerDropBackCallback())


def test_a_second_fit_attaches_anew():
    callback, module = LayerDropBackCallback(Uniform(0.5), verify=True), Classifier()
    fit(module, callback)
    first = callback.ldb
    fit(module, callback)
    assert callback.ldb is not first
    assert callback.ldb.stats()["step"] == 2 * BATCHES
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in module.modules())


def test_an_exception_leaves_nothing_behind():
    class Fails(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            if index == 3:
                raise RuntimeError("no more")

    module = Classifier()
    with pytest.raises(RuntimeError, match="no more"):
        fit(module, LayerDropBackCallback(Uniform(0.9)), Fails())
    assert all(p.requires_grad for p in module.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in module.modules())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
def test_a_compiled_network_inside():
    class Compiled(Classifier):
        def configure_model(self):
            for part in self.net:
                part.compile(backend="eager")

    callback = LayerDropBackCallback(Truncate(0.4, unit="block"), verify=True)
    fit(Compiled("net"), callback)
    assert callback.ldb.stats()["drop_steps"] == 2 * BATCHES
