"""One way to describe a table: its columns by their heads, each with what makes its cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

# A column's head, and what it says of the thing that a row is about.
Columns = Mapping[str, Callable[[T], str]]


def rows_of(columns: Columns[T], things: Iterable[T]) -> list[list[str]]:
    """A row of cells for each thing.

    Example:
        >>> rows_of({"word": str, "letters": lambda word: f"{len(word)}"}, ["plain", "ldb"])
        [['plain', '5'], ['ldb', '3']]
    """
    return [[cell(thing) for cell in columns.values()] for thing in things]


def table_of(columns: Columns[T], things: Iterable[T]) -> str:
    """A table for Markdown and for a terminal."""
    return markdown_table(list(columns), rows_of(columns, things))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are there.

    Example:
        >>> print(markdown_table(["arm", "n"], [["plain", "3"]]))
        | arm   | n |
        | ----- | - |
        | plain | 3 |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def percent(share: float) -> str:
    """A share.

    Example:
        >>> percent(0.125)
        '12.5 %'
    """
    return f"{100 * share:.1f} %"


def counted(number: int, name: str, more: str = "s") -> str:
    """A number of things by their name in the singular.

    Example:
        >>> counted(1, "seed"), counted(2, "seed")
        ('1 seed', '2 seeds')
    """
    return f"{number:,} {name}{'' if number == 1 else more}"


def short(number: float) -> str:
    """Three digits, or all of a large number: it has no exponent.

    Example:
        >>> short(0.12345), short(74.31), short(12345.6)
        ('0.123', '74.3', '12,346')
    """
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def mebibytes(count: float) -> str:
    """A number of bytes, in MiB."""
    return short(count / 2**20)
