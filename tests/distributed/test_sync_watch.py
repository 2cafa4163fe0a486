"""Steps on gradients that DDP has not reduced are refused."""

import pytest
import torch
from torch import nn

from layerdropback import AttachError
from layerdropback.distributed.ddp import SyncWatch
from parallel import Parallel, needs_distributed

pytestmark = needs_distributed


@pytest.fixture
def model(monkeypatch):
    """Of two processes, to the eye."""
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group=None: 2)
    return Parallel(nn.Linear(2, 2))


def passes(watch, model, *synced):
    """Forward passes of one window; under ``no_sync()`` or not."""
    watch.begin_window()
    for flag in synced:
        model.require_backward_grad_sync = flag
        watch.saw_pass()


@pytest.mark.parametrize("synced", [(), (True,), (False, True), (False, False, True)])
def test_a_window_whose_last_pass_reduces_is_right(synced, model):
    watch = SyncWatch(model)
    passes(watch, model, *synced)
    watch.require_reduced()


@pytest.mark.parametrize("synced", [(False,), (True, False)])
def test_a_window_whose_last_pass_does_not_is_refused(synced, model):
    watch = SyncWatch(model)
    passes(watch, model, *synced)
    with pytest.raises(AttachError) as error:
        watch.require_reduced()
    assert str(error.value) == (
        "cannot drop layers: 1 problem\n"
        "  1. optimizer.step() was called on gradients that DDP has not reduced. Cause: the last "
        "forward and backward pass before it ran under no_sync(), and masks that change after such "
        "a step leave the ranks with different models. Cure: leave no_sync() for the last pass "
        "before each step."
    )
    watch.begin_window()
    watch.require_reduced()


def test_one_of_several_parallel_models_is_enough_to_be_refused(model):
    container = nn.ModuleList([model, Parallel(nn.Linear(2, 2))])
    watch = SyncWatch(container)
    passes(watch, model, False)
    with pytest.raises(AttachError, match="has not reduced"):
        watch.require_reduced()


def test_one_process_alone_has_nothing_to_reduce(model, monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group=None: 1)
    watch = SyncWatch(model)
    passes(watch, model, False)
    watch.require_reduced()


def test_without_ddp_nothing_is_watched():
    model = nn.Linear(2, 2)
    watch = SyncWatch(model)
    passes(watch, model, False)
    watch.require_reduced()
