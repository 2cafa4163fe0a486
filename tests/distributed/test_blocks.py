"""Blocks that take turns on two ranks: DDP's replicas and FSDP2's shards rest alike."""

import warnings

import pytest
import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.nn.parallel import DistributedDataParallel

from layerdropback import Blocks, LayerDropBack, Schedule
from parallel import needs_distributed
from sharded import needs_sharding, sharded
from workers import in_workers, share
from zoo import ZOO

pytestmark = [needs_distributed, needs_sharding]

STEPS, BREAK = 8, 4  # in the second of three periods
STATES = ("keep", "offload", "release")


def parallel(model):
    return DistributedDataParallel(model, find_unused_parameters=True)


def train(model, state, rank=None, break_at=None, checkpoint=False):
    """What was dropped in each step, and how many states there were after it."""
    entry, drops, held = ZOO["vit"], [], []
    ldb, optimizer = attached(model, state)
    for number, batch in enumerate(entry.batches(STEPS)):
        if number == break_at:  # everything anew, from what was saved
            model, ldb, optimizer = again(model, ldb, optimizer, state, checkpoint)
        with ldb.epoch(None, 0):
            entry.backward(model, share(batch, rank))
            optimizer.step()
            held.append(sum(bool(entry) for entry in optimizer.state.values()))
            optimizer.zero_grad()
        drops.append(list(ldb.stats()["times_dropped"].values()))
    ldb.detach()
    return {"drops": drops, "held": held, "model": model}


def again(model, ldb, optimizer, state, checkpoint):
    """Everything anew, from what was saved; with torch's distributed state-dict functions, too."""
    if not checkpoint:
        saved = optimizer.state_dict(), ldb.state_dict()
        ldb.detach()
        ldb, optimizer = attached(model, state)
        optimizer.load_state_dict(saved[0])
    else:
        saved = get_state_dict(model, optimizer), ldb.state_dict()
        model = sharded(ZOO["vit"].model())
        ldb, optimizer = attached(model, state)
        weights, states = saved[0]
        loose = StateDictOptions(strict=False)  # some states were released
        set_state_dict(
            model,
            optimizer,
            model_state_dict=weights,
            optim_state_dict=states,
            options=loose,
        )
    ldb.load_state_dict(saved[1])
    return model, ldb, optimizer


def attached(model, state):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not saved under DistributedDataParallel")
        strategy = Blocks(1, "cyclic", state=state)
        ldb = LayerDropBack(model, optimizer, strategy, Schedule(steps=3), verify=True)
    return ldb, optimizer


def weights_of(model):
    options = StateDictOptions(full_state_dict=True)
    return get_model_state_dict(model, options=options)


# What one test or another compares, of all kinds, states and places where a run is saved.
SOME = [(kind, state, None) for kind in ("ddp", "fsdp") for state in ("keep", "offload")]
SOME += [("ddp", "offload", BREAK), ("fsdp", "offload", BREAK), ("fsdp", "offload", "checkpoint")]
ALL = [(kind, state, at) for kind in ("ddp", "fsdp") for state in STATES for at in (None, BREAK)]
ALL += [("fsdp", state, "checkpoint") for state in STATES]
RUNS = {"some": (SOME, STATES[:2]), "all": (ALL, STATES)}


def everything(rank, runs):
    found = {}
    for kind, state, at in runs:
        model = {"ddp": parallel, "fsdp": sharded}[kind](ZOO["vit"].model())
        saves = at == "checkpoint"
        seen = train(model, state, rank, BREAK if saves else at, checkpoint=saves)
        weights = weights_of(seen.pop("model"))
        found[f"{kind} {state} {at}"] = seen | {"weights": weights}
    return found


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def two(request, tmp_path_factory):
    """What two ranks found, and the states of which they did."""
    runs, states = RUNS[request.param]
    return in_workers(tmp_path_factory.mktemp("ranks"), everything, runs), states


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_offloading_equals_keeping_and_a_resumed_run_the_unbroken_one(two, kind):
    (first, second), states = two
    for state in states:
        whole = first[f"{kind} {state} None"]
        assert whole["drops"] == second[f"{kind} {state} None"]["drops"]
        others = [first.get(f"{kind} {state} {at}") for at in (BREAK, "checkpoint")]
        for other in filter(None, others):
            same(whole["weights"], other["weights"])
    assert first[f"{kind} offload {BREAK}"]
    same(first[f"{kind} keep None"]["weights"], first[f"{kind} offload None"]["weights"])


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_ranks_are_one_process(two, kind):
    (first, _), states = two
    for state in states:
        model = ZOO["vit"].model()
        alone = train(model, state)
        found = first[f"{kind} {state} None"]
        assert (found["drops"], found["held"]) == (alone["drops"], alone["held"])
        for name, value in model.state_dict().items():
            torch.testing.assert_close(found["weights"][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_what_rests_is_out_of_the_optimizer_on_every_rank(two, kind):
    for rank in two[0]:
        kept, offloaded = (rank[f"{kind} {state} None"]["held"] for state in ("keep", "offload"))
        assert kept[-1] > kept[0]
        assert max(offloaded) == offloaded[0] == kept[0]
