"""Accelerate on two ranks of the CPU: DDP and FSDP2, as `accelerate launch` sets them up."""

import contextlib
import os
from functools import partial

import pytest
import torch
from accelerate import DataLoaderConfiguration
from accelerate.state import PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    FullyShardedDataParallelPlugin,
)
from torch.distributed.tensor import DTensor

from accelerated import WINDOW, accelerator, make
from attached import NAMES, each_strategy, sgd
from layerdropback import LayerDropBackError
from parallel import needs_distributed
from sharded import needs_sharding
from twins import ALWAYS
from workers import in_workers

pytestmark = [pytest.mark.slow, needs_distributed, needs_sharding]

EPOCHS = [0, 1]


def launched(rank):
    """What `accelerate launch --cpu` tells each process."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
    os.environ |= {"WORLD_SIZE": str(torch.distributed.get_world_size())}
    os.environ |= {"LOCAL_WORLD_SIZE": os.environ["WORLD_SIZE"], "ACCELERATE_USE_CPU": "true"}


def ddp(rank, unused=True):
    launched(rank)
    kwargs = DistributedDataParallelKwargs(find_unused_parameters=unused)
    settings = {"dataloader_config": order(), "kwargs_handlers": [kwargs]}
    return accelerator(gradient_accumulation_steps=WINDOW, **settings)


@contextlib.contextmanager
def fsdp(rank, precision="no"):
    """As with ``--use_fsdp --fsdp_version 2``, which Accelerate itself keeps for GPUs."""
    launched(rank)
    policy = {"auto_wrap_policy": "transformer_based_wrap"}
    policy |= {"transformer_cls_names_to_wrap": ["Block"], "reshard_after_forward": True}
    settings = {"dataloader_config": order(), "mixed_precision": precision}
    with accelerator(gradient_accumulation_steps=WINDOW, **settings) as prepares:
        for state in (prepares.state, PartialState()):
            state.distributed_type = DistributedType.FSDP
        plugin = FullyShardedDataParallelPlugin(fsdp_version=2, **policy)
        if precision != "no":
            plugin.set_mixed_precision(precision)
        prepares.state.fsdp_plugin = plugin
        assert prepares.is_fsdp2
        yield prepares


def order():
    """A batch is shared between the ranks, in the order of one process."""
    return DataLoaderConfiguration(split_batches=True, use_seedable_sampler=True, data_seed=3)


def whole(model):
    """Weights that every rank has in whole; a shard is gathered."""
    found = {}
    for name, value in model.state_dict().items():
        value = value.full_tensor() if isinstance(value, DTensor) else value
        found[name.removeprefix("module.")] = value
    return found


def trained(prepares, strategy, attach="after", hook=False, **settings):
    """Masks and weights; or the error, where there is one."""
    try:
        run = make(prepares, "vit", strategy, attach, sgd, schedule=ALWAYS, **settings)
        if hook:
            run.ldb.register_comm_hook()
        run.epochs(EPOCHS)
    except (LayerDropBackError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    sent = run.ldb.stats()["gradient_bytes"]
    return {"masks": run.masks, "weights": whole(run.model), "bytes": sent}


def resumed(launch, rank, folder):
    """The end of a run that was saved in the middle of a drop epoch, and of one that was not."""
    found = []
    for part in ("whole", "first", "second"):
        with launch(rank) as prepares:
            run = make(prepares, "vit", "uniform", schedule=ALWAYS)
            prepares.register_for_checkpointing(run.ldb)
            if part == "second":
                prepares.load_state(str(folder))
                run.loader.set_epoch(1)
                run.epochs([1], first=3)
            elif part == "first":
                run.epochs(EPOCHS, stop=3)
                prepares.save_state(str(folder))
            else:
                run.epochs(EPOCHS)
            found.append({"masks": run.masks, "weights": whole(run.model)})
    return found


# Its first pass is one of a drop step, also where FSDP2 casts the shards.
RESUMED = {"ddp": ddp, "fsdp": fsdp, "fsdp bf16": partial(fsdp, precision="bf16")}


def everything(rank, folder):
    found = {}
    for strategy in NAMES:
        for launch in (ddp, fsdp):
            with launch(rank) as prepares:
                found[f"{launch.__name__} {strategy}"] = trained(prepares, strategy)
    with ddp(rank) as prepares:
        found["hook"] = trained(prepares, "uniform", hook=True)
    with ddp(rank) as prepares:
        found["larger batches"] = trained(prepares, "uniform", batch_scale=2)
    for attach in ("before", "after"):
        for launch in (ddp, partial(ddp, unused=False), fsdp):
            name = f"{attach} {getattr(launch, '__name__', 'plain ddp')}"
            with launch(rank) as prepares:
                found[name] = trained(prepares, "uniform", attach)
    with ddp(rank) as prepares:
        found["before, other seeds"] = trained(prepares, "uniform", "before", seed=rank)
    for name, launch in RESUMED.items():
        found[f"resumed {name}"] = resumed(launch, rank, folder / name)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two ranks found."""
    return in_workers(
        tmp_path_factory.mktemp("ranks"), everything, tmp_path_factory.mktemp("saved")
    )


@pytest.fixture(scope="module")
def alone():
    """What one process finds."""
    found = {}
    for strategy in NAMES:
        with accelerator(gradient_accumulation_steps=WINDOW, dataloader_config=order()) as prepares:
            found[strategy] = trained(prepares, strategy)
    return found


@pytest.mark.parametrize("launch", ["ddp", "fsdp"])
@each_strategy
def test_two_ranks_train_like_one_process(strategy, launch, two, alone):
    expected = alone[strategy]
    assert any(mask and any(mask) for mask in expected["masks"])
    first, second = (rank[f"{launch} {strategy}"] for rank in two)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["masks"] == expected["masks"]
    torch.testing.assert_close(first["weights"], expected["weights"], rtol=1e-4, atol=1e-5)


def test_dropped_gradients_are_not_sent(two):
    first, second = (rank["hook"] for rank in two)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first["weights"].keys() == two[0]["ddp uniform"]["weights"].keys()
    torch.testing.assert_close(first["weights"], two[0]["ddp uniform"]["weights"], rtol=0, atol=0)
    everything = len(first["masks"]) * sum(4 * w.numel() for w in first["weights"].values())
    assert 0 < first["bytes"] < 0.8 * everything


def test_a_batch_factor_is_refused_where_accelerate_makes_the_batches(two):
    for rank in two:
        text = rank["larger batches"]["error"]
        assert text.startswith("LoaderError: the batch factor cannot be applied")
        assert "BatchSamplerShard makes the batches itself" in text


@pytest.mark.parametrize("launch", RESUMED)
def test_a_run_goes_on_from_the_middle_of_a_drop_epoch_bit_for_bit(launch, two):
    for rank in two:
        whole, first, second = rank[f"resumed {launch}"]
        assert len(first["masks"]) == 5
        assert first["masks"] + second["masks"] == whole["masks"]
        torch.testing.assert_close(second["weights"], whole["weights"], rtol=0, atol=0)


# ---- before or after prepare ---------------------------------------------------------------------


def test_ddp_has_to_look_for_unused_parameters_before_prepare_too(two):
    for rank in two:
        assert rank["before ddp"].keys() == {"masks", "weights", "bytes"}
        torch.testing.assert_close(rank["before ddp"], rank["after ddp"], rtol=0, atol=0)
        for attach in ("before", "after"):
            text = rank[f"{attach} plain ddp"]["error"]
            assert text.startswith("AttachError: cannot ")
            assert "is DDP without find_unused_parameters. " in text


def test_seeds_are_compared_before_prepare_too(two):
    for rank in two:
        assert "seed is 0 on rank 0, 1 on rank 1" in rank["before, other seeds"]["error"]


def test_before_prepare_fsdp_is_refused_before_a_step(two):
    for rank in two:
        assert rank["after fsdp"].keys() == {"masks", "weights", "bytes"}
        text = rank["before fsdp"]["error"]
        assert text.startswith("AttachError: cannot begin the epoch")
        assert "or fully_shard came after the attachment" in text
