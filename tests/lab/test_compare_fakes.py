"""Fake methods, which gain nothing, get the verdict that they deserve."""

import time
from dataclasses import replace

import pytest
import torch

from layerdropback.lab.comparison import carry_out
from layerdropback.lab.plan import Place, Plan
from layerdropback.tasks.arms import arm_of, plain_of, with_controls
from layerdropback.tasks.images import ImageTask
from layerdropback.training.config import TrainConfig
from layerdropback.training.loop import Trainer


class Sleeping(Trainer):
    """Does nothing but take longer."""

    def steps_of(self, epoch):
        for step in super().steps_of(epoch):
            time.sleep(0.005)
            yield step


class SkippingHalf(Trainer):
    """Really skips every second batch."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        make, self.calls = self._step, 0

        def step(images, targets, large):
            self.calls += 1
            if self.calls % 2:
                return make(images, targets, large)
            return torch.zeros(2, dtype=torch.float64)

        step.parts = make.parts
        self._step = step


class Asleep(TrainConfig):
    trainer = Sleeping


class Halved(TrainConfig):
    trainer = SkippingHalf


class FakeTask(ImageTask):
    """Some arms' settings name another trainer."""

    def trainer(self, config):
        return getattr(config, "trainer", Trainer)(config, self.data)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["sleeps", "half the rate", "half the batches"])
def test_fake_methods_get_the_verdict_they_deserve(tmp_path, name):
    """None of them gains anything over plain training."""
    base = plain_of(TrainConfig(model="test_resnet", epochs=8, batch_size=32, lr=0.05))
    fakes = {
        "sleeps": Asleep(**vars(base)),
        "half the rate": replace(base, lr=base.lr / 2),
        "half the batches": Halved(**vars(base)),
    }
    arms, plan = with_controls(base, [arm_of(name, fakes[name])]), Plan(tuple(range(8)), 1.5)
    for attempt in range(3):  # the tool itself tells when the machine was too restless
        place = Place(tmp_path / str(attempt))
        verdict = carry_out(FakeTask.load(base), arms, plan, place).verdicts()[name]
        if verdict.kind != "withheld":
            break
    assert not verdict.gain
    assert verdict.kind == "no gain", verdict.text
    if name == "sleeps":
        assert verdict.against_plain.time.mean > 1.2
        assert "it takes no less time than plain training" in verdict.text
    if name == "half the batches":
        assert verdict.against_plain.time.mean < 0.8
