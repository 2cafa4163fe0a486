"""Times of steps over `slow_link`'s link, and what the link can do."""

import time
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor

from .slow_link_run import Run


def timed(run: Run, batches: Iterable[Tensor]) -> Iterator[tuple[float, int]]:
    """Seconds of each step, and the bytes of gradients that it sent.

    A step ends when its gradients are there, so that each one pays for what it sends.
    """
    bytes_each = 2 if run.arm.fp16 else 4
    everything = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
    dist.barrier()
    for batch in batches:
        before = run.ldb.stats()["gradient_bytes"] if run.ldb else 0
        start = time.perf_counter()
        run.step(batch)
        seconds = time.perf_counter() - start
        given = run.ldb.stats()["gradient_bytes"] - before if run.ldb else 4 * everything
        yield seconds, given * bytes_each // 4


def link_rate() -> float:
    """Megabits per second that a big all-reduce sends."""
    numbers = torch.zeros(2**20)
    dist.all_reduce(numbers)
    start = time.perf_counter()
    for _ in range(3):
        dist.all_reduce(numbers)
    return 3 * 8 * numbers.nbytes / 1e6 / (time.perf_counter() - start)
