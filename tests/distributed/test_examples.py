"""The examples, run as their first lines say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def launched(name, folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(EXAMPLES / name)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ddp_sends_less_in_drop_epochs(tmp_path):
    printed = launched("ddp.py", tmp_path)
    rows = re.findall(r"epoch \d: ([\d.]+) of the layers dropped, (\d+) KiB sent", printed)
    shares, sent = zip(*((float(share), int(kib)) for share, kib in rows), strict=True)
    assert shares[0::2] == (0, 0, 0)
    assert min(shares[1::2]) > 0.2
    assert len(set(sent[0::2])) == 1
    assert max(sent[1::2]) < 0.7 * sent[0]
    (right,) = re.findall(r"([\d.]+) % of the training images", printed)
    assert float(right) > 90


def test_fsdp_learns_while_it_drops(tmp_path):
    printed = launched("fsdp.py", tmp_path)
    rows = re.findall(r"epoch \d: ([\d.]+) of the blocks dropped, loss ([\d.]+)", printed)
    shares, losses = zip(*((float(share), float(loss)) for share, loss in rows), strict=True)
    assert shares[0::2] == (0, 0, 0)
    assert min(shares[1::2]) > 0.2
    assert losses[-1] < 0.5 * losses[0]
