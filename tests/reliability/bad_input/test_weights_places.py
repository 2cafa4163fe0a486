"""Wrong places of weights to evaluate.

Three dots stand for anything.
"""

import pytest

NEEDS = ("runs", "weights")


PLACE = "evaluate "
PLACE_ROWS = {
    "weights": (
        "weights has no weights.safetensors. Cause: without settings.yaml it is no run's "
        "folder. Cure: give a run's folder or an exported file."
    ),
    "runs/empty": (
        "runs/empty has no weights.safetensors. Cause: without settings.yaml it is no "
        "run's folder. Cure: give a run's folder or an exported file."
    ),
    "runs/others": (
        "runs/others has no weights.safetensors. Cause: without settings.yaml it is no "
        "run's folder. Cure: give a run's folder or an exported file."
    ),
    "runs/a-file": (
        "cannot read runs/a-file. Cause: Error while deserializing header: ... Cure: give "
        "another file."
    ),
    "runs/stopped": (
        "runs/stopped has no weights.safetensors. Cause: the run is not finished. Cure: "
        "finish it with ldb train --out runs/stopped --resume, or use ldb export "
        "runs/stopped."
    ),
    "nowhere": (
        "cannot read nowhere. Cause: No such file or directory: nowhere. Cure: give another file."
    ),
    "''": (
        ". has no weights.safetensors. Cause: without settings.yaml it is no run's folder. "
        "Cure: give a run's folder or an exported file."
    ),
    "": "Missing argument 'weights'. Cure: see ldb --help or ldb COMMAND --help.",
    "runs/done runs/done": (
        "Got unexpected extra argument(s) (runs/done). Cure: see ldb --help or ldb COMMAND --help."
    ),
}


@pytest.mark.parametrize("row", PLACE_ROWS)
def test_place(row, refused):
    refused(PLACE + row, PLACE_ROWS[row])
