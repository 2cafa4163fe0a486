"""The zoo's vision transformer, sharded by FSDP2, and a loop that trains it."""

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from attached import dropping
from layerdropback import LayerDropBack
from workers import share

EPOCHS, STEPS = 2, 6

needs_sharding = pytest.mark.skipif(
    not hasattr(torch.cpu.Stream, "record_event"), reason="this torch cannot shard on the CPU"
)


def sharded(model, **settings):
    """Each block by itself, and the rest with the root."""
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh, **settings)
    return fully_shard(model, mesh=mesh, **settings)


def attach(model, strategy, schedule=None, unit="tensor"):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    chosen = dropping(strategy, 0.6, unit=unit)
    settings = {} if schedule is None else {"schedule": schedule}
    return optimizer, LayerDropBack(model, optimizer, chosen, verify=True, **settings)


def train(model, entry, optimizer, ldb, window, rank=None, epochs=range(EPOCHS)):
    """Accumulate over windows of batches; a rank takes its share of each batch."""
    batches = entry.batches(STEPS * window)
    drops = []
    for epoch in epochs:
        for number, batch in enumerate(ldb.epoch(batches, epoch)):
            last = number % window == window - 1
            if rank is not None:
                model.set_requires_gradient_sync(last)
            entry.backward(model, share(batch, rank))
            if last:
                drops.append([] if ldb.mask is None else ldb.mask.tolist())
                optimizer.step()
                optimizer.zero_grad()
        with torch.no_grad():  # a test leaves the root's parameters whole
            model(batches[0][0])
    return drops
