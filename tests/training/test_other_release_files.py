"""What another release wrote, file by file: tables, checkpoints and weights."""

import json
import os
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from layerdropback import UsageError
from layerdropback.runs.checkpoint import Checkpoints, _checksum
from layerdropback.runs.folder import TABLE
from layerdropback.training.export import load_exported
from layerdropback.training.journal import Journal
from layerdropback.training.models import ModelSpec


def test_the_rows_that_tell_more_widen_the_table(tmp_path):
    rows = [{"epoch": 1}, {"epoch": 2, "a": 3}]
    with Journal(tmp_path, rows, tensorboard=False) as journal:
        journal.add({"epoch": 3, "a": 4})
    assert (tmp_path / TABLE).read_text().split() == ["epoch,a", "1,", "2,3", "3,4"]


class Foreign:
    pass


def test_what_could_run_code_is_refused_and_left(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    torch.save({"format": 1, "new": Foreign()}, tmp_path / "new")
    file = tmp_path / f"step-000000009-{_checksum(tmp_path / 'new')}.pt"
    os.rename(tmp_path / "new", file)
    with pytest.raises(UsageError, match="cannot be used. Cause: .* loading that could run code"):
        checkpoints.load(lambda state: None)
    assert file.exists()


def test_weights_of_another_release(run, tmp_path):
    file = tmp_path / "weights.safetensors"
    spec = asdict(ModelSpec("test_resnet", 10, 1, 8, True))
    for entry in ({"spec": spec | {"activation": "gelu"}}, {"spec": {"name": "x"}}, {}):
        notes = json.dumps({"version": "9.8.7", **entry})
        save_file({"weight": torch.ones(2)}, file, metadata={"layerdropback": notes})
        with pytest.raises(UsageError, match=r"cannot be used. Cause: release 9\.8\.7 of"):
            load_exported(file)
