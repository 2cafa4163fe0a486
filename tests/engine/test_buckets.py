"""Under DDP blocks that rest keep their gradients' memory, and the user hears it."""

import warnings

import pytest
from torch import nn

from attached import sgd
from layerdropback import Blocks, Uniform, find_layers
from layerdropback.engine.buckets import warn_of_buckets
from layerdropback.engine.target import Target


@pytest.fixture
def target(monkeypatch):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    return Target(model, [sgd(model)], find_layers(model))


def test_blocks_under_ddp_save_no_gradients(target, monkeypatch):
    monkeypatch.setattr("layerdropback.engine.buckets.data_parallels", lambda *models: models[:1])
    with pytest.warns(UserWarning, match="its buckets hold a gradient for every parameter"):
        warn_of_buckets(target, Blocks())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_buckets(target, Uniform())


def test_one_process_hears_nothing(target):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_buckets(target, Blocks())
