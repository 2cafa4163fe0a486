"""Two network namespaces joined by a link of a given speed, and a process at each end of it.

Linux, as root, with `ip` and `tc` (Debian: iproute2). Nothing else on the machine can see the link,
and it is gone afterwards, whatever happened.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch

DEVICE = "wire"
ADDRESSES = ("10.77.0.1/30", "10.77.0.2/30")
NETWORK = "10.77.0.0/30"
# What may be sent at once before the rate holds (5 ms of 100 Mbit/s), and how long a queue may
# get. One gradient of a megabyte waits in the sender, not in the queue.
SHAPE = ("burst", "64kb", "latency", "100ms")
SENT = Path("/sys/class/net") / DEVICE / "statistics" / "tx_bytes"


class Unavailable(Exception):
    """This machine, or this user, cannot have the link; in one line."""


@contextlib.contextmanager
def joined(rate: str) -> Iterator[list[list[str]]]:
    """Have a link for the time of the block.

    Packets are not lumped together on it, so that the device counts each one's headers.

    Args:
        rate: in either direction, as `tc` takes it: ``"100mbit"``.

    Yields:
        What to put before a command, for each end.

    Raises:
        Unavailable: it cannot be made.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise Unavailable("network namespaces need Linux and root")
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} not found (Debian package iproute2)")
    names = [f"ldb{os.getpid()}{end}" for end in "ab"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_told_to_stop())
        for name in names:
            stack.callback(_remove, name)  # before: one that is half made goes, too
            _call("ip", "netns", "add", name)
            _call("ip", "-n", name, "link", "set", "lo", "up")
        pair = ("netns", names[0], "type", "veth", "peer", "name", DEVICE, "netns", names[1])
        _call("ip", "link", "add", DEVICE, *pair)
        for name, address in zip(names, ADDRESSES, strict=True):
            _call("ip", "-n", name, "address", "add", address, "dev", DEVICE)
            _call("ip", "-n", name, "link", "set", "dev", DEVICE, "gso_max_segs", "1", "up")
            # What Linux does by itself, whatever this machine's TCP is set to.
            usual = ("dev", DEVICE, "congctl", "cubic")
            _call("ip", "-n", name, "route", "change", NETWORK, *usual)
            shaped = ("root", "tbf", "rate", rate, *SHAPE)
            _call("tc", "-n", name, "qdisc", "add", "dev", DEVICE, *shaped)
        yield [["ip", "netns", "exec", name] for name in names]


def run_workers(
    worker: Sequence[str],
    folder: Path,
    prefixes: Sequence[Sequence[str]],
    environment: Mapping[str, str],
) -> None:
    """Run ``python WORKER RANK FOLDER`` after each prefix; what goes wrong ends all.

    Each has a core, and finds this package wherever it is started.

    Raises:
        SystemExit: a worker failed.
    """
    # DDP warns of find_unused_parameters at each full step's first.
    own = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    found_in = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    own["PYTHONPATH"] = os.pathsep.join(filter(None, found_in))
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for rank, prefix in enumerate(prefixes):
            command = [*prefix, sys.executable, *worker, str(rank), str(folder)]
            workers.append(subprocess.Popen(command, env={**os.environ, **own, **environment}))
        while any(worker.poll() is None for worker in workers):
            if any(worker.poll() for worker in workers):
                break  # the other one would wait for it
            time.sleep(0.2)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    if any(worker.returncode for worker in workers):
        sys.exit("a worker failed")


def begin_worker() -> tuple[int, Path]:
    """In a worker: meet the other one; this one's rank, and the folder that it was given."""
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=5),
    )
    return rank, folder


def end_worker() -> None:
    """Part from the other one."""
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # gloo's thread lets go of its last work with Python's lock, and where the interpreter has begun
    # to end it aborts the process instead (torch 2.14 with Python 3.11): it gets its turn.
    time.sleep(0.1)


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"`{' '.join(command)}`: {error}") from error
    if done.returncode:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise Unavailable(f"`{' '.join(command)}`: {why}")


def _remove(name: str) -> None:
    """A namespace, and with it its end of the link."""
    command = ["ip", "netns", "delete", name]
    subprocess.run(command, capture_output=True, timeout=30, check=False)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[None]:
    """Let a polite kill end the program as Ctrl-C does, so that everything is put away."""

    def stop(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
