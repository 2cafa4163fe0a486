"""What the callbacks say of a run: numbers, that it never drops, that a checkpoint has no state."""

import pytest
import torch
from torch import nn

from by_hand import heard
from layerdropback import AttachError, Schedule, Truncate, Uniform
from layerdropback.integrations.attaching import attached, logged, warn_of_never, warn_of_no_state
from layerdropback.settings import Settings
from parallel import Parallel, make_up_ranks


def said(schedule, epochs, steps, strategy=Uniform(0.5)):
    with heard() as texts:
        warn_of_never(Settings(strategy, schedule), epochs, steps)
    return [text.partition(". Cause")[0] for text in texts]


@pytest.mark.parametrize(
    ("schedule", "epochs", "steps"),
    [
        (Schedule(every=1, start=0), 1, 5),
        (Schedule(every=2, start=1), 2, 5),
        (Schedule(every=3, start=2), 10**9, 5),  # a run without an end
        (Schedule(steps=3), 1, 5),
        (Schedule(every=2, start=1), -1, 5),  # nobody knows how long
        (Schedule(steps=3), 1, -1),
    ],
)
def test_a_run_that_drops_or_may_drop(schedule, epochs, steps):
    assert said(schedule, epochs, steps) == []


def test_a_run_that_never_drops():
    never = "nothing will be dropped: the run has "
    assert said(Schedule(), 1, 50) == [f"{never}1 epoch"]
    assert said(Schedule(every=2, start=5), 4, 50) == [f"{never}4 epochs"]
    assert said(Schedule(steps=50), 9, 50) == [f"{never}1 period of 50 steps"]
    assert said(Schedule(), 1, 50, Uniform(0)) == []


def test_a_checkpoint_without_a_state():
    with heard() as texts:
        warn_of_no_state(7)
    assert texts[0].startswith("the run goes on at step 7, LayerDropBack begins anew. Cause: ")


def test_errors_name_the_frameworks_cure(monkeypatch):
    make_up_ranks(monkeypatch)
    model = Parallel(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    model.find_unused_parameters = False
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(AttachError, match="Cure: a flag of theirs"):
        attached(model, optimizer, Settings(), "a flag of theirs")


@pytest.mark.parametrize("strategy", [Truncate(0.5), Uniform(0.5)])
def test_what_is_logged_is_known(strategy):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = attached(model, optimizer, Settings(strategy), "none is needed")
    with ldb.epoch(None, 0):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert logged(ldb, drops=True) == {
        "ldb/share_dropped": 0.0,
        **({"ldb/backward_saved": 0.0} if strategy == Truncate(0.5) else {}),
        "ldb/drops": 1.0,
    }
