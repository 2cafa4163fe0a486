import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from folders import make_folder
from resuming import SMALL


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    """Where runs are kept that several tests begin with."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def unbroken(run, tmp_path, request, finished_runs):
    """A run that nothing stopped, in a copy of the test's own, and its flags."""
    strategy = getattr(request, "param", "uniform")
    flags = [*SMALL, "--epochs", "3", "--batch-scale", "2", "--ema", "0.9", "--strategy", strategy]
    if not (finished_runs / strategy).exists():
        assert run("train", *flags, "--out", finished_runs / strategy)[0] == 0
    shutil.copytree(finished_runs / strategy, tmp_path / "unbroken")
    return tmp_path / "unbroken", flags


@pytest.fixture
def pictures(tmp_path):
    """A folder of images, and the flags of a run on it."""
    make_folder(tmp_path / "images", size=(16, 16), train=24, test=6)
    flags = ["--model", "test_resnet", "--data", "folder:images", "--batch-size", "8"]
    return [*flags, "--epochs", "2", "--workers", "0"]


@pytest.fixture
def images(run, pictures):
    """The same; the run itself, unbroken, beside them."""
    assert run("train", *pictures, "--out", "whole")[0] == 0
    return pictures


@pytest.fixture
def generators_stay():
    """Opening data moves no global generator."""
    random.seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[2], random.getstate()
    yield
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (np.random.get_state()[2], random.getstate())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the Hugging Face hub, without a network; gives a function that fills it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(model):
        config = model.pretrained_cfg
        folder = tmp_path / "hub" / f"models--{config['hf_hub_id'].replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0" * 40)
        (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
        save_file(model.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
        return model.state_dict()

    return put
