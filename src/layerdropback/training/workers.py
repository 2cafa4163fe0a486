"""The processes that train one model together, as ``torchrun`` starts them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import UsageError, explain
from .config import TrainConfig

Value = TypeVar("Value")

LAUNCH = "torchrun --nproc-per-node N -m layerdropback train"

# Public, though torch's stubs do not say so.
_torch: Any = dist

# What torchrun tells each process that it starts.
_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Workers:
    """This process and the others that train with it; one process by itself, by default.

    Every worker must call the same methods in the same order, as each waits for the others.

    Args:
        rank: of this process, from 0.
        count: of processes.
        local_rank: of this process among those of its machine.
        local_count: of processes on this machine.
        grouped: whether torch's process group is there, which a single process can have, too.

    Example:
        >>> alone = Workers()
        >>> alone.first, alone.of_first(lambda: 7), alone.highest(0)
        (True, 7, 0)
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        local_rank: int = 0,
        local_count: int = 1,
        grouped: bool = False,
    ):
        self.rank, self.count = rank, count
        self.local_rank, self.local_count = local_rank, local_count
        self.grouped = grouped
        # Of its own, on the CPU: what is agreed on here never comes between gradients.
        self._control: Any = dist.new_group(backend="gloo") if count > 1 else None
        self._ballot: tuple[Any, Tensor] | None = None

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes and speaks."""
        return self.rank == 0

    def of_first(self, work: Callable[[], Value]) -> Value:
        """What the first worker's call returns; the others call nothing.

        Raises:
            UsageError: the first one's, on all alike.
        """
        if self.count == 1:
            return work()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = work()
            except UsageError as error:
                found[1] = str(error)
                raise
            except BaseException as error:
                found[1] = f"rank 0 failed: {type(error).__name__}"
                raise
            finally:
                dist.broadcast_object_list(found, src=0, group=self._control)
        else:
            dist.broadcast_object_list(found, src=0, group=self._control)
        if found[1] is not None:
            raise UsageError(found[1])
        value: Value = found[0]
        return value

    def gathered(self, value: Value) -> list[Value]:
        """Every worker's value, by rank."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self._control)
        return found

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all workers of a tensor of theirs, on its device."""
        if self.count == 1:
            return tensor
        total = tensor.to("cpu", copy=True)
        dist.all_reduce(total, group=self._control)
        return total.to(tensor.device)

    def highest(self, mine: int) -> int:
        """The highest of all workers' numbers at the *last* call, or 0 at the first one.

        So nobody waits: the answer has arrived while a step was made. One process by itself gets
        its own number of this call.
        """
        if self.count == 1:
            return mine
        before = self._counted()
        ballot = torch.tensor([mine])
        work = dist.all_reduce(ballot, dist.ReduceOp.MAX, self._control, async_op=True)
        self._ballot = (work, ballot)
        return before

    def first_ones(self, tensors: list[Tensor]) -> None:
        """Give every worker the first one's values, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def close(self) -> None:
        """Wait for what is under way."""
        self._counted()

    def _counted(self) -> int:
        if self._ballot is None:
            return 0
        (work, ballot), self._ballot = self._ballot, None
        work.wait()
        return int(ballot.item())


ALONE = Workers()


@contextmanager
def joined(device: str = "auto") -> Iterator[Workers]:
    """All workers that ``torchrun`` started; this process alone where it did not start it.

    Args:
        device: as for ``--device``.

    Raises:
        UsageError: the others cannot be reached.
    """
    if any(name not in os.environ for name in _TOLD):
        yield ALONE
        return
    rank, count, local_rank, local_count = (int(os.environ[name]) for name in _TOLD[:4])
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        if local_rank >= torch.cuda.device_count():
            fact = f"rank {rank} has no GPU: there are {torch.cuda.device_count()}"
            cause = f"torchrun started {local_count} processes on this machine"
            raise UsageError(explain(fact, cause, "use fewer, or --device cpu"))
        torch.cuda.set_device(local_rank)
    try:
        store, *_ = next(_torch.rendezvous("env://"))
        # torchrun restarts workers with the same store (seen with torch 2.14), in which they would
        # find each other's addresses of before.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = _torch.PrefixStore(f"attempt {attempt} of {count}", store)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
        workers = Workers(rank, count, local_rank, local_count, grouped=True)
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        fact = f"rank {rank} of {count} cannot reach the other workers"
        raise UsageError(explain(fact, reason, "look at what torchrun says of them")) from None
    try:
        yield workers
        workers.close()
    finally:
        dist.destroy_process_group()
        # gloo's thread lets go of its last work with Python's lock; where the interpreter has begun
        # to end, it aborts the process instead (torch 2.14, Python 3.11). So it gets its turn.
        time.sleep(0.1)


def readers(workers: Workers) -> int:
    """Processes that read images for this one: as many as it has cores, with others beside it."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, cores // workers.local_count)


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
