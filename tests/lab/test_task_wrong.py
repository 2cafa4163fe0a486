"""What a user's own run may get wrong, and what is said of it."""

import math

import pytest

from layerdropback import UsageError
from layerdropback.errors import Diverged
from layerdropback.lab import Arm
from layerdropback.lab.turns import Player
from made_up_task import STEPS, Lines, LinesRun


class Broken(LinesRun):
    """What a user may get wrong, by the name of a way."""

    def __init__(self, way, seed, epochs, lr):
        super().__init__(None, seed, epochs, lr)
        self.way = way

    def steps_in(self, epoch):
        wrong = {"fewer steps": STEPS + 2, "more steps": STEPS - 1}
        return wrong.get(self.way, STEPS)

    def train(self, epoch, done=0):
        for loss in super().train(epoch, done):
            yield loss * math.nan if self.way == "loses" else loss

    def test(self):
        if self.way == "no loss":
            return {"test_accuracy": 50.0}
        if self.way == "no number":
            return {"test_accuracy": "good", "test_loss": 1.0}
        return super().test() | ({"test_loss": math.inf} if self.way == "test loses" else {})


class BrokenTask(Lines):
    made = Broken


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("fewer steps", "an arm made 6 steps in epoch 1. Cause: its steps_in(0) is 8."),
        ("more steps", "an arm made more steps in epoch 1. Cause: its steps_in(0) is 5."),
        ("no loss", "the test of an arm has no number 'test_loss'. Cause: it gave test_accuracy."),
        ("no number", "the test of an arm has no number 'test_accuracy'."),
        ("loses", "the loss is nan in epoch 1. Cause: training diverged."),
        ("test loses", "the loss is inf in epoch 1. Cause: training diverged."),
    ],
)
def test_what_a_run_gets_wrong_is_said(way, words):
    broken = Player(Arm("an arm", way, 3, 0.05), 5, BrokenTask(), None)
    with pytest.raises(UsageError) as error:
        broken.turn()
    assert words in str(error.value)
    assert broken.diverged == isinstance(error.value, Diverged) == ("loses" in way)
