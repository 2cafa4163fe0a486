"""Real processes on the CPU: replicas stay equal, and equal to one process on the whole batch."""

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from layerdropback import LayerDropBack
from zoo import ZOO

WORKERS, EPOCHS, STEPS, WINDOW = 2, 3, 6, 2


def train(model, entry, batches, strategy, rank=None):
    """Accumulate over windows of two batches; a rank takes its share of each batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    ldb = LayerDropBack(
        model, optimizer, drop_rate=0.6, unit="tensor", strategy=strategy, verify=True
    )
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


def as_worker(rank, rendezvous, work, *arguments):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=WORKERS
    )
    work(rank, *arguments)
    torch.distributed.destroy_process_group()


def in_workers(folder, work, *arguments):
    """Run `work` in each process; what they saved, rank by rank."""
    results = folder / "result"
    arguments = (folder / "rendezvous", work, *arguments, results)
    mp.spawn(as_worker, args=arguments, nprocs=WORKERS)
    return [torch.load(f"{results}.{rank}", weights_only=True) for rank in range(WORKERS)]


def train_replica(rank, strategy, results):
    entry = ZOO["vit"]
    model = DistributedDataParallel(entry.model(), find_unused_parameters=True)
    drops = train(model, entry, entry.batches(STEPS), strategy, rank)
    torch.save({"weights": model.module.state_dict(), "drops": drops}, f"{results}.{rank}")


def cut_replica(rank, results):
    """The second replica's batch is so small that its head costs more than all the rest."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    model.append(nn.Linear(64, 16)).append(nn.Linear(16, 16))
    model = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ldb = LayerDropBack(model, optimizer, 0.3, strategy="truncate")
    with ldb.epoch(None, 0):
        model(torch.ones(2, 3, *((4, 4) if rank else (32, 32)))).sum().backward()
        optimizer.step()
    torch.save(ldb.state_dict()["shares"], f"{results}.{rank}")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
@pytest.mark.parametrize("strategy", ["uniform", "truncate", "branch", "adaptive"])
def test_two_workers_equal_one(strategy, tmp_path):
    first, second = in_workers(tmp_path, train_replica, strategy)
    assert first["drops"] == second["drops"]
    assert sum(first["drops"]) > 0
    entry = ZOO["vit"]
    model = entry.model()
    assert train(model, entry, entry.batches(STEPS), strategy) == first["drops"]
    for key, value in model.state_dict().items():
        assert torch.equal(first["weights"][key], second["weights"][key])
        torch.testing.assert_close(first["weights"][key], value, rtol=1e-5, atol=1e-6)


def allocate_replica(rank, results):
    entry = ZOO["vit"]
    model = DistributedDataParallel(entry.model(), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"strategy": "branch", "allocate": "sensitivity", "every": 1, "start": 0}
    ldb = LayerDropBack(model, optimizer, 0.5, **settings)
    torch.manual_seed(rank)
    batches = [(entry.input(), entry.target()) for _ in range(12)]
    masks = []
    for batch in ldb.epoch(batches, 0):
        masks.append(None if ldb.mask is None else ldb.mask.tolist())
        entry.backward(model, batch)
        optimizer.step()
        optimizer.zero_grad()
    saved = {"weights": ldb.state_dict()["weights"], "masks": masks}
    torch.save(saved | {"model": model.module.state_dict()}, f"{results}.{rank}")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_replicas_with_other_batches_have_the_same_rates(tmp_path):
    """What cutting a branch changes is measured on each replica's own batch."""
    first, second = in_workers(tmp_path, allocate_replica)
    assert first["masks"] == second["masks"]
    assert first["masks"][:3] == [None] * 3
    assert None not in first["masks"][3:]
    assert first["weights"] == second["weights"]
    torch.testing.assert_close(first["model"], second["model"], rtol=0, atol=0)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_replicas_with_batches_of_other_sizes_cut_alike(tmp_path):
    first, second = in_workers(tmp_path, cut_replica)
    assert first == second
    assert 0.9 < first["0"] < 1, "the first replica's costs count"
