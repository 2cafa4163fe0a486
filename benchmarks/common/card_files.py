"""A card's files: Markdown, the numbers of its main table as CSV, and the record, compressed."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from layerdropback.lab.packed import pack, text_of
from layerdropback.runs.atomic import replace_atomically, write_atomically

RECORD, TABLE, TEXT = ".json.gz", ".csv", ".md"

_NUMBER = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
# A cell's numbers, and what they are called in the columns that become of it.
_CELL = re.compile(
    rf"(?P<value>{_NUMBER})(?: ?%)?(?: / (?P<second>{_NUMBER}))?"
    rf"(?: \[(?P<low>{_NUMBER}), (?P<high>{_NUMBER})\])?"
    rf"(?: \((?P<runs>\d+) of \d+\))?(?:, n = (?P<n>\d+))?"
)


def beside(out: Path, suffix: str) -> Path:
    """A card's file. A dot in the name begins no suffix."""
    return out.with_name(out.name + suffix)


def write(out: Path, text: str, record: Any, main: int = 0) -> None:
    """Write a card.

    Args:
        out: its path, without a suffix; folders are made.
        text: Markdown.
        record: all that was measured, as JSON can hold it.
        main: which of the text's tables is the main one.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    packed = pack(record)
    write_atomically(beside(out, TEXT), text)
    replace_atomically(beside(out, RECORD), lambda path: _write_bytes(path, packed))
    write_atomically(beside(out, TABLE), as_csv(tables(text)[main]))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def page(title: str, command: str, *paragraphs: str) -> str:
    """A card's text: a heading with today's date, the command, and paragraphs or tables."""
    head = (f"# {title}, {date.today()}", f"Command: `{command}`")
    return "\n\n".join([*head, *paragraphs]) + "\n"


def read(out: Path) -> Any:
    """A card's record."""
    return json.loads(text_of(beside(out, RECORD)))


def tables(text: str) -> list[list[list[str]]]:
    r"""The cells of every table in a Markdown text, its head first.

    Example:
        >>> tables("So:\n\n| arm | n |\n| --- | - |\n| ldb | 3 |\n")
        [[['arm', 'n'], ['ldb', '3']]]
    """
    found = re.findall(r"^\|.*\n\|[ |:-]+\|\n(?:\|.*\n)*", text + "\n", re.MULTILINE)
    return [
        [_cells(line) for at, line in enumerate(table.splitlines()) if at != 1] for table in found
    ]


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [cell.strip().replace("\\|", "|") for cell in cells]


def as_csv(table: Sequence[Sequence[str]]) -> str:
    """A table's numbers.

    ``84.77 [84.59, 84.96]`` becomes three columns, and ``1.69 [1.33, 2.28], n = 32`` four. In a
    column that has numbers, a cell that is none stays empty: the card has its word.

    Example:
        >>> print(as_csv([["arm", "points"], ["plain", ""], ["ldb", "+1.5 [+1, +2]"]]), end="")
        arm,points,"points, low","points, high"
        plain,,,
        ldb,+1.5,+1,+2
    """
    columns = [_split(name, cells) for name, *cells in zip(*table, strict=True)]
    names = [name for column in columns for name in column]
    values = [cells for column in columns for cells in column.values()]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([names, *zip(*values, strict=True)])
    return file.getvalue()


def _split(name: str, cells: Sequence[str]) -> dict[str, list[str]]:
    """A column as columns of one number each, or as it is."""
    found = [_CELL.fullmatch(cell.strip(" *")) for cell in cells]
    if not any(found):
        return {name: list(cells)}
    parts = [
        part
        for part in ("value", "second", "low", "high", "runs", "n")
        if part == "value" or any(match and match[part] for match in found)
    ]
    return {
        name if part == "value" else f"{name}, {part}": [
            (match[part] or "").replace(",", "") if match else "" for match in found
        ]
        for part in parts
    }
