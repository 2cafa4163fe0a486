"""The system's own view of a process agrees, where more than a gigabyte is used."""

import gc
import inspect
import os
import resource
import subprocess
import sys

import pytest
import torch
import transformers as hf

from layerdropback.lab import predict_memory

# The allocator gives back what is freed, so that resident memory is what lives.
GIVES_BACK = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


def make_model(layers=6):
    config = hf.GPT2Config(n_layer=layers)
    config.use_cache = False
    return hf.GPT2LMHeadModel(config)


def make_batch(rows=2, length=256):
    numbers = torch.randint(0, 50257, (rows, length))
    return {"input_ids": numbers, "labels": numbers}


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-4)


def train(model, batch):
    optimizer = adamw(model)
    for _ in range(2):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def measured():
    """The most that was resident while a model was trained."""
    torch.set_num_threads(1)
    train(make_model(layers=1).train(), make_batch())  # libraries take what they keep
    gc.collect()
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    train(make_model().train(), make_batch())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


@pytest.mark.alone
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_resident_memory_is_within_a_hundredth():
    predicted = predict_memory(make_model, adamw, make_batch, device="cpu")
    assert predicted.peak > 1e9
    parts = map(inspect.getsource, (make_model, make_batch, adamw, train, measured))
    imports = "import gc, resource, torch\nimport transformers as hf"
    script = "\n".join([imports, *parts, "print(measured())"])
    command = [sys.executable, "-c", script]
    more = {"env": os.environ | GIVES_BACK, "capture_output": True, "text": True, "check": True}
    done = subprocess.run(command, **more)
    assert int(done.stdout) == pytest.approx(predicted.peak, rel=0.01)
