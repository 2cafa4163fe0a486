"""Many runs of ``ldb``, each in a process of its own that begins at once, and can be killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Forker:
    """``forker.py`` in a process of its own.

    Args:
        folder: for what the runs say (`log`).
        wrapper: a command that the process is started with, ``unshare`` say.
    """

    def __init__(self, folder, wrapper=()):
        self._process = subprocess.Popen(
            [*wrapper, sys.executable, Path(__file__).with_name("forker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.log, self._marks = folder / "log.txt", folder / "marks"
        self._marks.touch()
        assert self._process.stdout.readline().startswith("ready")

    @property
    def pid(self):
        """Of the process that forks."""
        return self._process.pid

    def run(self, *arguments, kills=(), after=None, ranks=0):
        """One ldb; see forker.py.

        Args:
            arguments: of ldb.
            kills: (place, count, rank) of each.
            after: seconds after which it is killed with all that it has started.
            ranks: that train together.

        Returns:
            Its exit code.
        """
        order = {"arguments": [*map(str, arguments)], "kills": list(kills), "ranks": ranks}
        order |= {"log": str(self.log), "marks": str(self._marks)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline().split()[1])
        timer = threading.Timer(after or 1000, kill_all, [pid])
        if after is not None:
            timer.start()
        code = int(self._process.stdout.readline().split()[1])
        timer.cancel()
        return code

    @property
    def killed_themselves(self):
        """How many processes have, so far."""
        return self._marks.stat().st_size

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def kill_all(pid):
    """A run and all that it has started."""
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # or has not made its group yet
        os.killpg(pid, signal.SIGKILL)
