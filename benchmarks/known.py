"""Make what `ldb compare --strategy auto` chooses from, out of the records of the cards.

python benchmarks/known.py
"""

import json
from pathlib import Path

from layerdropback.lab import known
from layerdropback.lab.record import Record
from layerdropback.training.model_args import parse_model_args
from layerdropback.training.models import ModelSpec, build_model

CARDS = Path(__file__).parent / "results"


def found() -> list[known.Known]:
    """Of every card that is a record of ldb compare or ldb sweep, in the order of their names."""
    rows = []
    for path in sorted(CARDS.glob("*.json")):
        values = json.loads(path.read_text())
        if not isinstance(values, dict) or values.get("kind") not in ("comparison", "sweep"):
            continue
        record = Record.from_text(path.read_text())
        if not record.finished_seeds():  # broken off
            continue
        settings = record.arms[0]["settings"]
        arguments = parse_model_args(settings["model_args"])
        classes, size = record.data["classes"], record.data["size"]
        model, _ = build_model(ModelSpec(settings["model"], classes, 3, size, False, arguments))
        rows += known.from_record(path.stem, record, known.family_of(model))
    return rows


if __name__ == "__main__":
    (Path(known.__file__).parent / known.FILE).write_text(known.as_text(found()))
