import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from begun import finished_runs, images, pictures, unbroken  # noqa: F401 - fixtures


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
