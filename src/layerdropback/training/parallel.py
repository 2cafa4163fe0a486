"""One model over several workers: a replica each (DDP), or a shard each (FSDP2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import UsageError, explain
from .blocks import repeated_blocks
from .config import TrainConfig
from .workers import Workers

LAUNCH = "torchrun --nproc-per-node N -m layerdropback train"


def require_workers(config: TrainConfig, workers: Workers) -> None:
    """Make sure that there are workers where they are needed, and none where not.

    Raises:
        UsageError: ``--parallel`` and what started this process do not go together, or the batch
            cannot be shared out.
    """
    if config.parallel == "no":
        if workers.count > 1:
            fact = f"{workers.count} processes would train the same run"
            cause = "torchrun started them, and --parallel is no"
            raise UsageError(explain(fact, cause, "give --parallel ddp, or --parallel fsdp"))
        return
    if not workers.grouped:
        fact = f"--parallel {config.parallel} has no workers"
        cause = "this process was not started by torchrun"
        cure = f"use {LAUNCH} ..., or --parallel no"
        raise UsageError(explain(fact, cause, cure))
    _require_shares(config, workers.count)


def _require_shares(config: TrainConfig, count: int) -> None:
    size = config.batch_size
    settings = config.drop_settings()
    scale = settings.batch_scale if settings.ever_drops else 1
    share, scaled = size // count, round(size * scale)
    found = [("--batch-size", size, share), ("the batch of drop epochs,", scaled, share * scale)]
    for what, batch, mine in found:
        if batch != count * round(mine):
            fact = f"{what} {batch} cannot be shared out evenly to {count} workers"
            cause = "batch sizes are those of all workers together"
            raise UsageError(explain(fact, cause, f"use a multiple of {count}"))
        if batch // count < 2 * config.accumulate:
            fact = f"{what} {batch} is too small for {count} workers"
            cause = "each needs two images or more"
            cause += " in each part of --accumulate" if config.accumulate > 1 else ""
            raise UsageError(explain(fact, cause, "use a larger batch or fewer workers"))


def sharded(model: nn.Module, config: TrainConfig, device: torch.device, workers: Workers) -> None:
    """Shard a model in place, block by block, before its optimizer is made.

    In bf16 whole parameters are gathered in bf16, and gradients are reduced in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    options: dict[str, Any] = {"mesh": init_device_mesh(device.type, (workers.count,))}
    if config.precision == "bf16":
        options["mp_policy"] = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
    for block in repeated_blocks(model):
        fully_shard(block, **options)
    fully_shard(model, **options)


def replicated(model: nn.Module, drops: bool) -> DistributedDataParallel:
    """Wrap a model in DDP.

    Args:
        model: on its device.
        drops: whether layers are ever dropped; DDP need not look for them otherwise.
    """
    return DistributedDataParallel(model, find_unused_parameters=drops)


@contextmanager
def reducing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """For a forward and a backward pass whose gradients are reduced over the workers, or not yet.

    Args:
        model: in one process alone nothing is reduced.
        wanted: whether they are; the last pass before a step reduces what was gathered so far.
    """
    if isinstance(model, DistributedDataParallel) and not wanted:
        with model.no_sync():
            yield
        return
    set_sync = getattr(model, "set_requires_gradient_sync", None)  # FSDP2's
    if set_sync is not None:
        set_sync(wanted)
    yield


def seed_others(seed: int, workers: Workers) -> None:
    """Give the other workers dropout of their own; the first one goes on as one process would."""
    if not workers.first:
        torch.manual_seed((seed + workers.rank * 0x9E3779B97F4A7C15) % 2**63)


def share_buffers(model: nn.Module, workers: Workers) -> None:
    """Give every worker the first one's buffers, BatchNorm's statistics above all."""
    buffers: list[Tensor] = list(model.buffers())
    workers.first_ones(buffers)
