"""Killed at any moment and resumed, a run ends with the weights of an unbroken one (issue 3)."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from outcome import digest, rows

# Everything that a resumed run has to find again: masks, a scaled batch, augmentation,
# accumulation, an average of the weights, clipping, warm-up.
FLAGS = [
    *("train", "--model", "test_resnet", "--limit-train", "200", "--limit-test", "60"),
    *("--batch-size", "10", "--batch-scale", "2", "--accumulate", "2", "--ema", "0.9"),
    *("--mixup", "0.2", "--rotate", "10", "--clip-grad", "1", "--warmup-epochs", "0.5"),
    *("--checkpoint-every", "3", "--threads", "1"),
]

# Blocks that take turns, their states offloaded: killed in the midst of a period.
BLOCKS = [
    *("train", "--model", "test_resnet", "--limit-train", "200", "--limit-test", "60"),
    *("--batch-size", "10", "--optimizer", "adamw", "--lr", "0.001", "--ema", "0.9"),
    *("--strategy", "blocks", "--active-blocks", "1", "--period-steps", "4"),
    *("--checkpoint-every", "3", "--threads", "1"),
]


class Forker:
    """``forker.py`` in a process of its own."""

    def __init__(self, folder):
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.log = folder / "log.txt"
        assert self._process.stdout.readline().startswith("ready")

    def run(self, *arguments, kill=None, after=None):
        """Exit code of one ldb, which is killed at a place or after so many seconds."""
        order = {"arguments": [*map(str, arguments)], "kill": kill, "log": str(self.log)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline().split()[1])
        timer = threading.Timer(after or 1000, os.kill, (pid, signal.SIGKILL))
        if after is not None:
            timer.start()
        code = int(self._process.stdout.readline().split()[1])
        timer.cancel()
        return code

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def forker(tmp_path_factory):
    forker = Forker(tmp_path_factory.mktemp("forker"))
    yield forker
    forker.close()


def unbroken(forker, folder, epochs, flags):
    start = time.perf_counter()
    code = forker.run(*flags, "--epochs", epochs, "--out", folder)
    assert code == 0, forker.log.read_text()
    return time.perf_counter() - start


PLACES = ("write", "sync", "name", "prune")


def torture(forker, folder, epochs, kills, generator, flags=FLAGS):
    """Kill a run so often, every second time inside a saving, and then let it end."""
    seconds = unbroken(forker, folder / "unbroken", epochs, flags)
    for number in range(kills):
        inside = number % 2 == 0
        place = [PLACES[number // 2 % 4], generator.randrange(1, 5)] if inside else None
        # Early enough that the run is not through before the last kill.
        after = None if inside else generator.uniform(0.2, 0.5 + 1.5 * seconds / kills)
        arguments = [*flags, "--epochs", epochs, "--out", folder / "killed", "--resume"]
        code = forker.run(*arguments, kill=place, after=after)
        assert code in (-signal.SIGKILL, 0), forker.log.read_text()
        yield code
    assert forker.run("train", "--out", folder / "killed", "--resume") == 0
    assert digest(folder / "killed") == digest(folder / "unbroken")
    assert rows(folder / "killed") == rows(folder / "unbroken")
    left = sorted(path.name for path in (folder / "killed" / "checkpoints").iterdir())
    assert len(left) == 2
    assert all(name.startswith("step-") for name in left)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [FLAGS, BLOCKS], ids=["uniform", "blocks"])
def test_three_kills(forker, tmp_path, flags):
    generator = random.Random(0)
    codes = list(torture(forker, tmp_path, epochs=4, kills=3, generator=generator, flags=flags))
    assert codes.count(-signal.SIGKILL) >= 2
    assert "resumed from step-" in forker.log.read_text()


@pytest.mark.slow
def test_twenty_kills(forker, tmp_path):
    start = time.perf_counter()
    codes = list(torture(forker, tmp_path, epochs=24, kills=20, generator=random.Random(1)))
    assert codes.count(-signal.SIGKILL) == 20
    assert time.perf_counter() - start < 480
