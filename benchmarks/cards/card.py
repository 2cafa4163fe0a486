"""Make a card of what `ldb compare` or `ldb sweep` left in a folder.

    python -m benchmarks card RUN benchmarks/results/NAME

RUN's report is the text, its record the record.
"""

import argparse
import json
from pathlib import Path

from layerdropback.lab.packed import text_of
from layerdropback.lab.record import file_of

from ..common import card_files


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of ldb compare or ldb sweep")
    parser.add_argument("out", type=Path, help="path of the card, no suffix")


def run(args: argparse.Namespace) -> None:
    """Write the card."""
    write(args.folder, args.out)


def write(folder: Path, out: Path) -> None:
    """The same for a benchmark that has made the folder."""
    record = json.loads(text_of(file_of(folder)))
    card_files.write(out, (folder / "report.md").read_text(), record)
