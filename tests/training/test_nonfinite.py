"""Losses and gradients that are not finite: a run stops before it saves one, or skips the step."""

import math
from dataclasses import replace

import pytest
import torch

from command import metrics_of
from layerdropback.errors import Diverged
from layerdropback.runs.checkpoint import Checkpoints
from layerdropback.training import run as running
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import Dropping
from layerdropback.training.images.data import load_data
from layerdropback.training.images.pipeline import Pipeline
from layerdropback.training.loop import Trainer
from layerdropback.training.step import Step
from resuming import SMALL, numbers, weights

DATA = load_data("digits", limit_train=64, limit_test=20)
SKIP = TrainConfig(model="test_resnet", epochs=2, batch_size=16, ema=0.9, nonfinite="skip")
WAYS = {
    "uniform": Dropping(),
    "truncate": Dropping(strategy="truncate", every=1, start=0, batch_scale=2),
    "branch": Dropping(strategy="branch", every=1, start=0, verify=True),
    "blocks": Dropping(strategy="blocks", active_blocks=1, period_steps=2),
    "plain": Dropping(drop_rate=0.0),
}


def poison(monkeypatch, *steps):
    """Pixels that are no numbers, in these steps of the process, counted from 1."""
    real, calls = Pipeline.__call__, 0

    def spoiled(pipeline, batch):
        nonlocal calls
        calls += 1
        images, targets = real(pipeline, batch)
        if calls in steps:
            images[1, 0, 2, 2] = math.nan
        return images, targets

    monkeypatch.setattr(Pipeline, "__call__", spoiled)


def overflow(monkeypatch, *steps):
    """Gradients of one weight that are infinite, in these steps; the loss is as it is."""
    real, calls = Step.__call__, 0

    def spoiled(step, images, targets, large):
        nonlocal calls
        calls += 1
        weight = step._model.get_parameter("fc.weight")
        scale = math.inf if calls in steps else 1.0
        hook = weight.register_hook(lambda gradient: gradient * scale)
        try:
            return real(step, images, targets, large)
        finally:
            hook.remove()

    monkeypatch.setattr(Step, "__call__", spoiled)


def leave_out(monkeypatch, *steps):
    """What a skipped step comes to, without its passes."""
    real, calls = Step.__call__, 0

    def without(step, images, targets, large):
        nonlocal calls
        calls += 1
        step.guard.lost = calls in steps
        if calls in steps:
            return torch.zeros(2, dtype=torch.float64)
        return real(step, images, targets, large)

    monkeypatch.setattr(Step, "__call__", without)


def everything(trainer):
    state = trainer.state_dict()
    for name in ("seconds", "phases"):
        del state["so_far"][name]
    return state


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def trained(config):
    trainer = Trainer(config, DATA)
    return trainer, [trainer.train_epoch(epoch) for epoch in range(2)]


def same_runs(one, other):
    mine, others = everything(one[0]), everything(other[0])
    assert [name for name in mine if not equal(mine[name], others[name])] == []
    fields = ("train_loss", "train_accuracy", "test_loss", "skipped", "share_dropped")
    for mine, others in zip(one[1], other[1], strict=True):
        assert [getattr(mine, f) for f in fields] == [getattr(others, f) for f in fields]


@pytest.mark.parametrize("way", ["uniform", pytest.param("plain", marks=pytest.mark.slow)])
def test_where_all_is_finite_it_does_nothing(way):
    config = replace(SKIP, dropping=WAYS[way], clip_grad=0.5)
    found, other = trained(config), trained(replace(config, nonfinite="stop"))
    same_runs(found, other)
    assert [metrics.skipped for metrics in found[1]] == [0, 0]


# The first step, which is recorded; one of a full epoch, and two of a drop epoch.
STEPS = [(1,), (3, 6, 7)]


QUICK = [("uniform", STEPS[1]), ("truncate", STEPS[0])]
PAIRS = [(way, steps) for way in WAYS for steps in STEPS if (way, steps) not in QUICK]


@pytest.mark.parametrize(
    ("way", "steps"), [*QUICK, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS)]
)
def test_a_skipped_step_leaves_no_trace(way, steps, monkeypatch):
    """But its count: weights, statistics, masks and states are as if nobody had tried."""
    config = replace(SKIP, dropping=WAYS[way])
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, *steps)
        found = trained(config)
    leave_out(monkeypatch, *steps)
    same_runs(found, trained(config))
    made = sum(metrics.steps for metrics in found[1])
    skipped = sum(metrics.skipped for metrics in found[1])
    assert skipped == len([step for step in steps if step <= made]) > 0
    assert all(math.isfinite(metrics.train_loss) for metrics in found[1])


def test_one_part_of_a_batch_is_enough(monkeypatch):
    poison(monkeypatch, 2)
    _, metrics = trained(replace(SKIP, accumulate=4))
    assert [one.skipped for one in metrics] == [1, 0]


@pytest.mark.parametrize("clip", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_infinite_gradients_of_a_finite_loss(clip, monkeypatch):
    overflow(monkeypatch, 2, 5)
    trainer, metrics = trained(replace(SKIP, clip_grad=clip))
    assert [one.skipped for one in metrics] == [1, 1]
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert trainer.so_far.lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_loss_scaling_lowers_its_scale_either_way(policy, monkeypatch):
    few = load_data("digits", limit_train=16, limit_test=4)
    config = replace(SKIP, precision="fp16", batch_size=4, epochs=1, nonfinite=policy)
    overflow(monkeypatch, 2)
    trainer = Trainer(config, few)
    trainer._precision.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    metrics = trainer.train_epoch(0)
    assert metrics.skipped == 1
    assert trainer._precision.scaler.get_scale() == 2.0
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_an_epoch_without_any_finite_loss_ends_the_run(monkeypatch):
    poison(monkeypatch, *range(1, 5))
    with pytest.raises(
        Diverged, match="no loss of epoch 1 is a number. Cause: all of its steps were"
    ):
        Trainer(SKIP, DATA).train_epoch(0)


@pytest.fixture
def flags():
    return ["train", *SMALL, "--limit-train", "32", "--epochs", "2", "--checkpoint-every", "1"]


@pytest.mark.parametrize("spoil", [pytest.param(poison, marks=pytest.mark.slow), overflow])
def test_a_run_stops_with_a_good_checkpoint(run, tmp_path, flags, spoil):
    """In a drop epoch, right after a step of which the loss says nothing yet, where gradients are
    infinite."""
    assert run(*flags, "--out", "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, 7)
        code, _, errors = run(*flags, "--out", "run")
    what = "loss is nan" if spoil is poison else "weights are not finite"
    assert (code, errors.count("\n")) == (2, 1)
    assert (
        f"the {what} in epoch 2. Cause: training diverged. Cure: use a smaller --lr, or" in errors
    )
    state, path, problems = Checkpoints(tmp_path / "run" / "checkpoints", keep=2).load()
    assert (path.name[:14], problems) == ("step-000000006", [])
    assert all(tensor.isfinite().all() for tensor in state["trainer"]["model"].values())
    assert run("train", "--out", "run", "--resume", "--nonfinite", "skip")[0] == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


def test_a_run_looks_every_so_many_steps(run, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LOOK_EVERY", 4)
    poison(monkeypatch, 5)
    made = []
    monkeypatch.setattr(running.Progressing, "step", lambda *_: made.append(1))
    code, _, errors = run("train", *SMALL, "--epochs", "1", "--out", "run")
    assert code == 2
    assert "the loss is nan in epoch 1" in errors
    assert len(made) == 8


@pytest.mark.slow
def test_a_run_that_skips_says_so(run, tmp_path, flags, monkeypatch):
    poison(monkeypatch, 3, 5, 6)
    code, output, errors = run(*flags, "--nonfinite", "skip", "--out", "run")
    assert (code, errors) == (0, "")
    lines = [line for line in output.splitlines() if "skipped" in line]
    assert lines[0].endswith("  1 steps skipped")
    assert lines[1].endswith("  2 steps skipped")
    assert "%, 3 steps skipped; the run is in" in lines[2]
    assert [row["skipped"] for row in metrics_of(tmp_path / "run")] == [1, 2]


def test_ranks_decide_alike(monkeypatch):
    """One has a loss that is no number; the other, whose own is fine, hears of it."""
    from layerdropback.training.nonfinite import Guard

    class Two:
        def summed(self, tensor):
            return tensor + torch.tensor([1, 0])

    model = torch.nn.Linear(2, 1)
    guard = Guard(model, True, Two())
    guard.begin()
    model(torch.ones(1, 2)).sum().backward()
    totals = torch.ones(2, dtype=torch.float64)
    assert not guard.good(totals)
    assert guard.lost
    assert totals.tolist() == [0.0, 0.0]
