import random

import numpy as np
import pytest
import torch

from folders import make_folder
from resuming import SMALL


@pytest.fixture
def unbroken(run, tmp_path, request):
    """A run that nothing stopped, and its flags."""
    strategy = getattr(request, "param", "uniform")
    flags = [*SMALL, "--epochs", "3", "--batch-scale", "2", "--ema", "0.9", "--strategy", strategy]
    assert run("train", *flags, "--out", tmp_path / "unbroken")[0] == 0
    return tmp_path / "unbroken", flags


@pytest.fixture
def images(run, tmp_path):
    """A folder of images, and the flags of a run on it; the run itself, unbroken, beside them."""
    make_folder(tmp_path / "images", size=(16, 16), train=24, test=6)
    flags = ["--model", "test_resnet", "--data", "folder:images", "--batch-size", "8"]
    flags += ["--epochs", "2", "--workers", "0"]
    assert run("train", *flags, "--out", "whole")[0] == 0
    return flags


@pytest.fixture
def generators_stay():
    """Opening data moves no global generator."""
    random.seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[2], random.getstate()
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (np.random.get_state()[2], random.getstate())
