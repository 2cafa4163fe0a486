"""Trainer on two ranks of the CPU with DDP, as torchrun starts them."""

import os
from functools import partial

import pytest
import torch

from layerdropback import LayerDropBackError, Schedule, Truncate, Uniform
from parallel import needs_distributed
from workers import in_workers

pytestmark = [pytest.mark.slow, needs_distributed]

STRATEGIES = {"uniform": Uniform(0.5), "truncate": Truncate(0.4, "uniform")}


def launched(rank):
    """What torchrun tells each process."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}


def trained(folder, strategy, unused=True, resume=None, **changes):
    """Weights, counters, and whether the masks saved anything; or the error's text."""
    from layerdropback.integrations.transformers import LayerDropBackCallback
    from trainer_runs import Steps, run

    callback = LayerDropBackCallback(strategy, Schedule(every=2, start=1), seed=3, verify=True)
    steps = Steps()
    settings = {"ddp_find_unused_parameters": unused, "ddp_backend": "gloo", "optim": "sgd"}
    try:
        run("llama", folder, callback, steps, resume=resume, **(settings | changes))
    except LayerDropBackError as error:
        return {"error": str(error)}
    stats = callback.ldb.stats()
    kept = {"dropped": stats["times_dropped"], "steps": [stats["step"], stats["drop_steps"]]}
    return {"weights": steps.weights[-1], "wrapped": type(callback.ldb.model).__name__} | kept


def everything(rank, folder):
    launched(rank)
    saving = {"save_strategy": "steps", "save_steps": 8}
    found = {name: trained(f"{folder}/{name}", s, **saving) for name, s in STRATEGIES.items()}
    path = f"{folder}/uniform/checkpoint-8"
    found["resumed"] = trained(f"{folder}/rest", STRATEGIES["uniform"], resume=path)
    found["refused"] = trained(f"{folder}/none", Uniform(0.5), unused=False)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return in_workers(folder, partial(everything, folder=str(folder)))


@pytest.mark.parametrize("name", STRATEGIES)
def test_ranks_have_one_model_and_one_mask(two, name):
    one, other = (found[name] for found in two)
    assert one["wrapped"] == "DistributedDataParallel"
    assert one["steps"] == other["steps"] == [12, 6]
    assert one["dropped"] == other["dropped"]
    assert sum(one["dropped"].values()) > 0
    torch.testing.assert_close(one["weights"], other["weights"], rtol=0, atol=0)


def test_a_resumed_run_ends_like_the_unbroken_one(two):
    for found in two:
        assert found["resumed"]["dropped"] == found["uniform"]["dropped"]
        torch.testing.assert_close(
            found["resumed"]["weights"], found["uniform"]["weights"], rtol=0, atol=0
        )


def test_what_ddp_must_be_told_is_said_in_the_trainers_words(two):
    for found in two:
        text = found["refused"]["error"]
        assert "DDP without find_unused_parameters" in text
        assert "Cure: ddp_find_unused_parameters=True in the TrainingArguments" in text
