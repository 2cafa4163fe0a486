"""Real processes on the CPU, over gloo, that meet in a file."""

import gc
import multiprocessing
import os

import torch
import torch.multiprocessing as mp

# Imported once, in a process that workers are forked from; to import it takes them seconds each.
NEEDED_BY_MOST = ["torch.distributed.fsdp", "torch._dynamo", "timm.models", "sklearn.datasets"]
NEEDED_BY_MOST += ["layerdropback.training.loop"]

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
multiprocessing.set_forkserver_preload(NEEDED_BY_MOST)


def in_workers(folder, work, *arguments, count=2):
    """Run ``work(rank, *arguments)`` in each process; what they returned, rank by rank."""
    arguments = (count, folder / "rendezvous", folder / "result", work, arguments)
    mp.start_processes(_as_worker, args=arguments, nprocs=count, start_method=METHOD)
    return [torch.load(f"{folder / 'result'}.{rank}", weights_only=True) for rank in range(count)]


def _as_worker(rank, count, rendezvous, results, work, arguments):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=count
    )
    torch.save(work(rank, *arguments), f"{results}.{rank}")
    gc.collect()  # what an expected error's traceback held of DDP
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # gloo's thread lets go of its last work with Python's lock, and where the interpreter has begun
    # to end it aborts the process ("terminate called without an active exception").
    os._exit(0)


def share(batch, rank):
    """This rank's part of a batch of all ranks."""
    if rank is None:
        return batch
    return tuple(tensor[rank :: torch.distributed.get_world_size()] for tensor in batch)
