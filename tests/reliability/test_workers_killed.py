"""A worker killed at a random step, or all of them stopped: the run ends as an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from outcome import digest, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found in /proc"),
]

FLAGS = [
    *("train", "--model", "vit_tiny_patch16_224", "--model-args", "embed_dim=32"),
    *("--model-args", "depth=3", "--model-args", "num_heads=2"),
    *("--limit-train", "400", "--limit-test", "60", "--batch-size", "10", "--batch-scale", "2"),
    *("--epochs", "8", "--clip-grad", "1", "--checkpoint-every", "5", "--parallel", "ddp"),
]


class Launched:
    """torchrun with two workers, which starts them anew when one is lost."""

    def __init__(self, folder, log, restarts=3):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", "2", "--max-restarts", str(restarts)]
        command += ["-m", "layerdropback", *FLAGS, "--out", str(folder), "--resume"]
        self.folder, self.log = folder, log
        with log.open("a") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )

    def workers(self):
        """Their process numbers."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
                words = path.with_name("cmdline").read_text()
            except OSError:  # it has ended since
                continue
            if int(fields[1]) == self.process.pid and "layerdropback" in words:
                found.append(int(path.parent.name))
        return sorted(found)

    def wait_for_steps(self, steps, patience=100):
        """Until a checkpoint of so many steps is there; whether the run still goes on."""
        end = time.monotonic() + patience
        while self.process.poll() is None:
            names = (self.folder / "checkpoints").glob("step-*.pt")
            if any(int(name.name.split("-")[1]) >= steps for name in names):
                return True
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)
        return False

    def end(self):
        return self.process.wait(timeout=150)

    def close(self):
        """Leave nothing behind where a test has failed."""
        if self.process.poll() is None:
            for number in (*self.workers(), self.process.pid):
                os.kill(number, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def launch():
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(
            contextlib.closing(Launched(folder / "run", folder / "log.txt"))
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, launch):
    folder = tmp_path_factory.mktemp("undisturbed")
    launched = launch(folder)
    assert launched.end() == 0, launched.log.read_text()
    return folder / "run"


def same(folder, undisturbed):
    assert digest(folder) == digest(undisturbed)
    assert rows(folder) == rows(undisturbed)


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_workers_are_started_anew(seed, undisturbed, launch, tmp_path):
    generator = random.Random(seed)
    launched = launch(tmp_path)
    for steps in sorted(generator.sample(range(5, 200, 5), 2)):
        assert launched.wait_for_steps(steps), launched.log.read_text()
        time.sleep(generator.uniform(0, 0.05))
        before = launched.workers()
        os.kill(generator.choice(before), signal.SIGKILL)
        while launched.process.poll() is None and set(launched.workers()) & set(before):
            time.sleep(0.01)
    assert launched.end() == 0, launched.log.read_text()
    log = launched.log.read_text()
    assert log.count("resumed from step-") == 2
    same(tmp_path / "run", undisturbed)


def test_what_stops_torchrun_stops_all_after_the_same_step(undisturbed, launch, tmp_path):
    launched = launch(tmp_path)
    assert launched.wait_for_steps(60)
    launched.process.send_signal(signal.SIGTERM)
    assert launched.end() != 0
    log = launched.log.read_text()
    assert log.count("all saved; go on with: torchrun --nproc-per-node N -m layerdropback") == 1
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    again = launch(tmp_path)
    assert again.end() == 0, again.log.read_text()
    same(tmp_path / "run", undisturbed)
