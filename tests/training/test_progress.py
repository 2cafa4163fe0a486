import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from layerdropback.training.progress import Progressing


@pytest.fixture
def shown():
    """A bar of 4 epochs under a clock that is set by hand."""
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    now = [100.0]
    bar = Progressing(console, 4, clock=lambda: now[0])
    return SimpleNamespace(bar=bar, now=now, console=console, task=lambda: bar._bar.tasks[0])


def test_the_pace_is_this_epochs_and_the_time_left_the_runs(shown):
    shown.bar.begin(0, 100)
    shown.bar.step(50)
    assert shown.task().fields["pace"] == "", "no time has passed"
    shown.now[0] += 10
    shown.bar.step(50)
    assert shown.task().fields["pace"] == "  10 images/s  0:00:30 left in all"
    shown.now[0] += 10  # the test
    shown.bar.begin(1, 100)
    assert shown.task().completed == 0
    shown.now[0] += 5
    shown.bar.step(100)
    assert shown.task().fields["pace"] == "  20 images/s  0:00:25 left in all"


def test_resuming_in_the_middle(shown):
    shown.bar.begin(2, 100, done=60)
    assert (shown.task().completed, shown.task().total) == (60, 100)
    assert shown.task().description == "epoch 3/4"
    shown.now[0] += 2
    shown.bar.step(20)
    assert shown.task().completed == 80
    assert shown.task().fields["pace"] == "  10 images/s  0:00:12 left in all"


def test_nothing_but_the_lines_is_written_where_there_is_no_terminal(shown):
    metrics = SimpleNamespace(
        epoch=1,
        mode="full",
        share_dropped=0.0,
        skipped=0,
        unreadable=None,
        train_loss=1.5,
        train_accuracy=50.0,
        test_accuracy=40.0,
        seconds=2.0,
        images_per_second=49.6,
    )
    with shown.bar.running():
        shown.bar.begin(0, 100)
        shown.bar.step(0)
        shown.bar.end(metrics)
    assert shown.console.file.getvalue() == (
        "epoch 1/4  full  dropped  0.0 %  loss 1.5000  train 50.00 %  test 40.00 %  "
        "50 images/s  2.00 s\n"
    )
