"""Runs ``ldb`` many times in fresh processes that need not import torch again; see `forking`.

Reads lines of JSON from standard input, and forks a child for each, which becomes ``ldb``. It says
``pid N`` at once, and ``exit N`` (negative for a signal) when that is over. An order has

- ``arguments`` of ldb, and a ``log`` file for its output;
- ``kills``: the process sends SIGKILL to itself at a place inside the saving of a file, or after a
  step, when it comes there for the count-th time: ``[place, count, rank]``. Of several, each is for
  one start of the ranks; without ranks the first one counts;
- ``marks``: a file that gets a byte for each of these;
- ``ranks``: torchrun's agent starts so many, once more than there are kills; 0: none.
"""

import io
import json
import os
import signal
import sys
from pathlib import Path


def places():
    """Where a process can be killed: an object, the name of its function, and what is half done."""
    import torch

    from layerdropback.training.metrics import Tally

    return {
        "write": (torch, "save", half_a_checkpoint),
        "text": (Path, "write_text", half_a_text),
        "sync": (os, "fsync", None),
        "name": (os, "replace", None),
        "prune": (os, "unlink", None),
        "step": (Tally, "add", None),
    }


def half_a_checkpoint(real, content, file):
    whole = io.BytesIO()
    real(content, whole)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
    file.flush()


def half_a_text(real, path, text, **more):
    real(path, text[: len(text) // 2], **more)


def kill_at(place, count, marks):
    thing, name, half = places()[place]
    real, calls = getattr(thing, name), 0

    def counted(*arguments, **settings):
        nonlocal calls
        calls += 1
        if calls == count:
            if half is not None:
                half(real, *arguments, **settings)
            with open(marks, "ab", buffering=0) as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **settings)

    setattr(thing, name, counted)


def without_a_clock():
    """Steps take as long as is said here, and a comparison is saved whenever it can be."""
    from layerdropback.lab import pilot, slices, storing

    timed = slices.timed_steps

    def known(player, epoch, steps, done=0):
        timed(player, epoch, 2)
        return 1.0 if player.run.mode(epoch) == "full" else 0.5

    slices.timed_steps, pilot.ROUNDS = known, (2, 3)
    storing.SAVE_EVERY = -1.0


def renew_threads():
    """Torch's pool of threads is not forked; two threads that make it anew at once abort."""
    import torch

    torch.set_num_threads(torch.get_num_threads())


def run_ldb(order):
    """What ``ldb`` does; its exit code."""
    renew_threads()
    start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    for number, (place, count, rank) in enumerate(order["kills"]):
        if number == start and rank == int(os.environ.get("RANK", "0")):
            kill_at(place, count, order["marks"])
    without_a_clock()
    sys.argv = ["ldb", *order["arguments"]]
    from layerdropback.__main__ import main

    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def a_rank(order):
    """Of several; the agent waits for what this returns."""
    code = run_ldb(order)
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)


def run_ranks(order):
    """What torchrun does, but that ranks are forked, too."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=order["ranks"],
        run_id=f"kills-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=len(order["kills"]),
        monitor_interval=0.02,
        start_method="fork",
    )
    try:
        elastic_launch(config, a_rank)(order)
    except ChildFailedError as error:
        return abs(error.get_first_failure()[1].exitcode) or 1
    return 0


def become(order):
    os.setsid()  # it is killed with all that it starts
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 99
    try:
        code = run_ranks(order) if order["ranks"] else run_ldb(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def import_all():
    """What any of the commands needs; the digits are read once, too."""
    import matplotlib.figure  # noqa: F401
    import timm  # noqa: F401
    import torch
    import torch.distributed.launcher.api
    import torchvision.transforms.v2  # noqa: F401

    import layerdropback.cli.main
    import layerdropback.cli.memory
    import layerdropback.cli.runs
    import layerdropback.cli.studies
    import layerdropback.lab.memory.command
    import layerdropback.lab.report.build
    import layerdropback.tasks.images
    import layerdropback.tasks.sweeping
    import layerdropback.training.run  # noqa: F401
    from layerdropback.training.images.data import load_data

    load_data("digits", limit_train=10)
    torch.set_num_threads(1)


def serve():
    import_all()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become(json.loads(line))
        print("pid", pid, flush=True)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
