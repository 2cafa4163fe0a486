"""Real processes on the CPU: replicas stay equal, and equal to one process on the whole batch."""

import pytest
import torch
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from layerdropback import LayerDropBack
from zoo import ZOO

WORKERS, EPOCHS, STEPS, WINDOW = 2, 3, 6, 2


def train(model, entry, batches, rank=None):
    """Accumulate over windows of two batches; a rank takes its share of each batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(model, optimizer, drop_rate=0.6, unit="tensor", verify=True)
    drops = []
    for epoch in range(EPOCHS):
        for number, (inputs, targets) in enumerate(ldb.epoch(batches, epoch)):
            part = slice(None) if rank is None else slice(rank, None, WORKERS)
            entry.backward(model, (inputs[part], targets[part]))
            if number % WINDOW == WINDOW - 1:
                drops.append(0 if ldb.mask is None else int(ldb.mask.sum()))
                optimizer.step()
                optimizer.zero_grad()
    return drops


def worker(rank, rendezvous, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORKERS
    )
    entry = ZOO["vit"]
    model = DistributedDataParallel(entry.model(), find_unused_parameters=True)
    drops = train(model, entry, entry.batches(STEPS), rank)
    torch.save({"weights": model.module.state_dict(), "drops": drops}, f"{results}.{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_workers_equal_one(tmp_path):
    results = tmp_path / "result"
    mp.spawn(worker, args=(tmp_path / "rendezvous", results), nprocs=WORKERS)
    first, second = (torch.load(f"{results}.{rank}", weights_only=True) for rank in range(WORKERS))
    assert first["drops"] == second["drops"]
    assert sum(first["drops"]) > 0
    entry = ZOO["vit"]
    model = entry.model()
    assert train(model, entry, entry.batches(STEPS)) == first["drops"]
    for key, value in model.state_dict().items():
        assert torch.equal(first["weights"][key], second["weights"][key])
        torch.testing.assert_close(first["weights"][key], value, rtol=1e-5, atol=1e-6)
