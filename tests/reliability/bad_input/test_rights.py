"""Files and folders without rights: root ignores rights, so the refusal is put in their place."""

import errno
import os
from pathlib import Path

import pytest

NEEDS = ("settings", "runs", "records")

TRAIN = "train --model test_resnet --limit-train 32 --limit-test 20 --batch-size 8 --out new"

# A method of `Path` that the system refuses for a path, the command, and what it says.
RIGHTS_ROWS = {
    "read settings": (
        ("read_text", "typo.yaml"),
        "train --config settings/typo.yaml",
        "cannot read settings/typo.yaml. Cause: Permission denied. Cure: give another file.",
    ),
    "make a folder": (
        ("mkdir", "new"),
        TRAIN,
        "cannot use new. Cause: Permission denied. Cure: check the path, its rights and room.",
    ),
    "make a comparison's": (
        ("mkdir", "new"),
        "compare --model test_resnet --limit-train 64 --limit-test 20 --batch-size 8 --out new",
        "cannot use new. Cause: Permission denied. Cure: check the path, its rights and room.",
    ),
    "read a record": (
        ("read_bytes", "comparison.json"),
        "report records/good --out new",
        "cannot read records/good/comparison.json. Cause: Permission denied. Cure: give the...",
    ),
    "read metrics": (
        ("read_text", "metrics.jsonl"),
        "report runs/done --out new",
        "cannot read the run in runs/done. Cause: ...Permission denied... Cure: give another...",
    ),
}


@pytest.mark.parametrize("row", RIGHTS_ROWS)
def test_rights(row, refused, monkeypatch):
    (method, name), command, expected = RIGHTS_ROWS[row]
    real = getattr(Path, method)

    def denied(path, *arguments, **settings):
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **settings)

    monkeypatch.setattr(Path, method, denied)
    refused(command, expected)
