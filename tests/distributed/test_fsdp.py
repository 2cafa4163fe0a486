"""FSDP2 in real processes: sharded training equals one process's, and sends less when it drops."""

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from attached import NAMES
from benchmarks.network.comm_bytes import CommBytes
from sharded import attach, needs_sharding, sharded, train
from twins import ALWAYS
from workers import in_workers, share
from zoo import ZOO

PARTS = ("model", "optimizer")
FULL = StateDictOptions(full_state_dict=True)

pytestmark = needs_sharding


# Strategies with windows of batches: in turns by default, and each with each.
TURNS = [("uniform", 1), ("truncate", 2), ("branch", 1)]
EACH = [(name, window) for name in NAMES for window in (1, 3)]


def train_all(rank, cases):
    found = {}
    for strategy, window in cases:
        entry = ZOO["vit"]
        model = sharded(entry.model())
        optimizer, ldb = attach(model, strategy)
        drops = train(model, entry, optimizer, ldb, window, rank)
        weights = get_model_state_dict(model, options=FULL)
        found[f"{strategy} {window}"] = {"weights": weights, "drops": drops}
    return found


@pytest.mark.parametrize("strategy", NAMES)
def test_shards_train_like_one_process(strategy, two):
    compare(strategy, dict(TURNS)[strategy], [rank["trained"] for rank in two])


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4])
def test_so_do_those_of_any_number_of_ranks_accumulating_or_not(count, tmp_path):
    ranks = in_workers(tmp_path, train_all, EACH, count=count)
    for strategy, window in EACH:
        compare(strategy, window, ranks)


def compare(strategy, window, ranks):
    entry = ZOO["vit"]
    alone = entry.model()
    drops = train(alone, entry, *attach(alone, strategy), window)
    assert any(any(mask) for mask in drops)
    found = [rank[f"{strategy} {window}"] for rank in ranks]
    assert all(one["drops"] == drops for one in found)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(found[0]["weights"][name], value, rtol=1e-4, atol=1e-5)


# ---- what is sent --------------------------------------------------------------------------------


def count_bytes(rank):
    """Bytes that each step gives to reduce-scatter, by what it drops; blocks are dropped whole."""
    entry = ZOO["vit"]
    model = sharded(entry.model())
    optimizer, ldb = attach(model, "uniform", ALWAYS, unit="block")
    names = list(ldb.stats()["times_dropped"])
    found = []
    for batch in ldb.epoch(entry.batches(12), 1):
        mask = {} if ldb.mask is None else dict(zip(names, ldb.mask.tolist(), strict=True))
        with CommBytes() as sent:
            entry.backward(model, share(batch, rank))
        dropped = [name for name in mask if mask[name]]
        blocks = sum(name.startswith("blocks.") for name in dropped)
        found.append((blocks, len(dropped), sent.bytes["reduce_scatter"], sent.get_total_counts()))
        optimizer.step()
        optimizer.zero_grad()
    assert ldb.stats()["gradient_bytes"] is None, "that is of DDP's communication hook alone"
    ldb.detach()
    with CommBytes() as sent:
        entry.backward(model, share(entry.batches(1)[0], rank))
    return {
        "steps": found,
        "detached": sent.bytes["reduce_scatter"],
        "block": sum(4 * p.numel() for p in model.blocks[0].parameters()),
        "everything": sum(4 * p.numel() for p in model.parameters()),
        "hooks": sum(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters()),
    }


def test_gradients_of_dropped_blocks_are_not_sent(two):
    first, second = (rank["bytes"] for rank in two)
    assert first == second
    full = first["steps"][0][2]
    assert first["everything"] <= full < 1.1 * first["everything"]  # some are padded
    assert {blocks for blocks, *_ in first["steps"]} == {0, 1, 2}
    for blocks, dropped, sent, _ in first["steps"]:
        assert sent <= full - blocks * first["block"], "other layers are dropped beside"
        assert (sent == full) == (dropped == 0)


def test_a_detached_model_sends_everything_again(two):
    for rank in (rank["bytes"] for rank in two):
        assert rank["detached"] == rank["steps"][0][2]
        assert rank["hooks"] == 0


# ---- checkpoints ---------------------------------------------------------------------------------


def go_on(rank, folder, epoch):
    """Load what other ranks saved, if any, train for an epoch, and save."""
    entry = ZOO["vit"]
    model = sharded(entry.model())
    optimizer, ldb = attach(model, "uniform")
    if epoch:
        parts = dict(zip(PARTS, get_state_dict(model, optimizer), strict=True))
        dcp.load(parts, checkpoint_id=folder / str(epoch - 1))
        set_state_dict(
            model,
            optimizer,
            model_state_dict=parts["model"],
            optim_state_dict=parts["optimizer"],
        )
        ldb.load_state_dict(torch.load(folder / f"ldb{epoch - 1}", weights_only=True))
    drops = train(model, entry, optimizer, ldb, 1, rank, epochs=[epoch])
    with ldb.epoch(entry.batches(1), epoch + 1):  # in the midst of an epoch, too
        parts = dict(zip(PARTS, get_state_dict(model, optimizer), strict=True))
        dcp.save(parts, checkpoint_id=folder / str(epoch))
    if rank == 0:
        torch.save(ldb.state_dict(), folder / f"ldb{epoch}")
    return {"weights": get_model_state_dict(model, options=FULL), "drops": drops}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning:torch.distributed")
def test_two_ranks_four_and_one_go_on_with_each_others_checkpoints(tmp_path):
    entry = ZOO["vit"]
    alone = entry.model()
    optimizer, ldb = attach(alone, "uniform")
    for epoch, count in enumerate((2, 4, 1, 2)):
        folder = tmp_path / f"{epoch}"
        folder.mkdir()
        found = in_workers(folder, go_on, tmp_path, epoch, count=count)
        drops = train(alone, entry, optimizer, ldb, 1, epochs=[epoch])
        assert all(one["drops"] == drops for one in found)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(found[0]["weights"][name], value, rtol=1e-4, atol=1e-5)


# ---- what needs processes only once --------------------------------------------------------------


def everything(rank):
    return {"trained": train_all(rank, TURNS), "bytes": count_bytes(rank)}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two ranks found."""
    return in_workers(tmp_path_factory.mktemp("ranks"), everything)
