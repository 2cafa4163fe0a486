"""Runs ``ldb`` many times in fresh processes that need not import torch again.

Reads lines of JSON from standard input: ``arguments`` of ldb, a ``log`` file for its output, and
``kill``, null or ``[place, count]``. For each it forks a child that becomes ``ldb``; it says
``pid N`` at once, and ``exit N`` (negative for a signal) when that is over. With ``kill`` the child
sends SIGKILL to itself when it comes to a place inside the saving of a file for the count-th time.
"""

import io
import json
import os
import signal
import sys


def kill_at(place, count):
    import torch

    module, name = {
        "write": (torch, "save"),
        "sync": (os, "fsync"),
        "name": (os, "replace"),
        "prune": (os, "unlink"),
    }[place]
    real, calls = getattr(module, name), 0

    def counted(*arguments, **settings):
        nonlocal calls
        calls += 1
        if calls == count:
            if place == "write":  # half of it is there
                whole = io.BytesIO()
                real(arguments[0], whole)
                arguments[1].write(whole.getvalue()[: len(whole.getvalue()) // 2])
                arguments[1].flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **settings)

    setattr(module, name, counted)


def become_ldb(order):
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if order["kill"]:
        kill_at(*order["kill"])
    sys.argv = ["ldb", *order["arguments"]]
    from layerdropback.__main__ import main

    code = 99
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve():
    import timm  # noqa: F401 - takes a second, and each run needs it
    import torch

    import layerdropback.cli.main
    import layerdropback.cli.runs
    import layerdropback.training.run

    torch.set_num_threads(1)
    print("ready", layerdropback.cli.main.__name__, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_ldb(json.loads(line))
        print("pid", pid, flush=True)
        print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
