"""Fake methods, which gain nothing, get the verdict that they deserve."""

import time
from dataclasses import replace
from functools import partial, wraps

import pytest
import torch

from layerdropback.lab.comparison import carry_out
from layerdropback.lab.plan import Place, Plan
from layerdropback.tasks.arms import arm_of, plain_of, with_controls
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.loop import Trainer


class Paced(Trainer):
    """Its steps sleep so many seconds."""

    seconds = 0.01

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._replace_step(self._slept)

    def _replace_step(self, changed):
        self._step = wraps(self._step)(partial(changed, self._step))

    def _slept(self, make, *batch):
        time.sleep(self.seconds)
        return make(*batch)


class Sleeping(Paced):
    """Does nothing but take longer."""

    seconds = 0.015


class SkippingHalf(Paced):
    """Really skips every second batch."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.calls = 0
        self._replace_step(self._skipped)

    def _skipped(self, make, *batch):
        self.calls += 1
        return make(*batch) if self.calls % 2 else torch.zeros(2, dtype=torch.float64)


class Asleep(TrainConfig):
    trainer = Sleeping


class Halved(TrainConfig):
    trainer = SkippingHalf


class FakeTask(ImageTask):
    """Some arms' settings name another trainer."""

    def trainer(self, config):
        return getattr(config, "trainer", Paced)(config, self.data)


def verdict_of(name, folder, plan, **settings):
    """Of one fake method against plain training."""
    base = plain_of(TrainConfig(model="test_resnet", batch_size=32, lr=0.05, **settings))
    fakes = {
        "sleeps": Asleep(**vars(base)),
        "half the rate": replace(base, lr=base.lr / 2),
        "half the batches": Halved(**vars(base)),
    }
    arms = with_controls(base, [arm_of(name, fakes[name])])
    return carry_out(FakeTask.load(base), arms, plan, Place(folder)).verdicts()[name]


# Seconds of a run, of plain training's.
TIMES = {"sleeps": 1.5, "half the rate": 1.0, "half the batches": 0.5}

# What sleeps is as accurate as plain training, seed by seed: a few show it.
SEEDS = {"sleeps": 3, "half the rate": 6, "half the batches": 6}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMES)
def test_fake_methods_get_the_verdict_they_deserve(tmp_path, name, clock):
    """None of them gains anything over plain training."""
    plan = Plan(tuple(range(SEEDS[name])), 1.5)
    verdict = verdict_of(name, tmp_path, plan, epochs=8, limit_train=900)
    assert not verdict.gain
    assert verdict.kind == "no gain", verdict.text
    assert verdict.against_plain.time.mean == pytest.approx(TIMES[name])
    assert ("it takes no less time than plain training" in verdict.text) == (TIMES[name] >= 1)


@pytest.mark.alone
def test_what_sleeps_takes_longer_by_the_real_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(Sleeping, "seconds", 0.05)
    verdict = verdict_of("sleeps", tmp_path, Plan((0, 1)), epochs=2, limit_train=640)
    assert not verdict.gain
    assert verdict.against_plain.time.mean > 1.3
