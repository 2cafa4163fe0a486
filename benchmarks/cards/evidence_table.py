"""Write what the records show into docs/evidence.md and README.md, between their markers.

    python -m benchmarks evidence-table

A new card of a comparison gets a line in `TASKS` of `evidence_lists`, one of another kind a line in
`evidence_measured`. (`evidence` makes the runs; this one reads what they left.)
"""

import argparse
import re
from pathlib import Path

from layerdropback.lab.statistics import Interval
from layerdropback.lab.tables import markdown_table

from .evidence_lists import STATUS, TASKS
from .evidence_measured import MEASURED
from .evidence_rows import Row, rows_of

ROOT = Path(__file__).parents[2]
README, EVIDENCE = ROOT / "README.md", ROOT / "docs" / "evidence.md"
CARDS = "benchmarks/results"

POINTS = ("points, same time", "points, all of plain's time")
COMPARED = ("task", "dropped", "n", "time", "accuracy, %", *POINTS, "verdict", "card")
SCREENED = ("task", "dropped", "n", "time", "accuracy, %", *POINTS, "card")


def evidence_rows() -> dict[str, list[Row]]:
    """All methods of all comparisons, by task."""
    return {task: [row for card in cards for row in rows_of(card)] for task, cards in TASKS.items()}


def link_of(card: str, where: str) -> str:
    """The link to a card, named by its date."""
    return f"[{card[:10]}]({where}{CARDS}/{card}.md)"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def points(found: Interval | None) -> str:
    return "" if found is None else found.as_text("+.2f")


def method_table(found: dict[str, list[Row]], swept: bool) -> str:
    """The methods that were compared, or those that were screened."""
    rows = [
        [
            task,
            row.method,
            str(row.n),
            number(row.time),
            number(row.accuracy),
            points(row.equal),
            points(row.whole),
            *([] if row.verdict is None else [f"**{row.verdict}**" if row.above else row.verdict]),
            link_of(row.card, "../"),
        ]
        for task, methods in found.items()
        for row in methods
        if (row.verdict is None) == swept
    ]
    return markdown_table(SCREENED if swept else COMPARED, rows)


def measured_table() -> str:
    rows = [[*said, link_of(card, "../")] for card, said in MEASURED.items()]
    return markdown_table(("what was measured", "what came out", "card"), rows)


def status_table() -> str:
    """README's table."""
    lines = [
        "| task | what is left out | n | time, of plain training's | points above plain training "
        "*of the same time* | above *all* of its time | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, what, card, arm in STATUS:
        (row,) = [row for row in rows_of(card) if row.arm == arm]
        mean, *ends = points(row.equal).split(" ", 1)
        gain = " ".join([f"**{mean}**" if row.above else f"{row.verdict}: {mean}", *ends])
        cells = [task, what, str(row.n), number(row.time), gain, points(row.whole)]
        lines.append(f"| {' | '.join([*cells, f'[card]({CARDS}/{card}.md)'])} |")
    return "\n".join(lines)


def between(text: str, name: str, table: str) -> str:
    """A page's text with a table between its markers.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    found = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(found.findall(text)) != 1:
        raise ValueError(f"the page needs {begin} and {end}, once each")
    before, after = found.split(text)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """Each page's text, as the records have it."""
    readme = between(README.read_text(), "status", status_table())
    evidence, found = EVIDENCE.read_text(), evidence_rows()
    evidence = between(evidence, "compared", method_table(found, swept=False))
    evidence = between(evidence, "screened", method_table(found, swept=True))
    evidence = between(evidence, "measured", measured_table())
    return {README: readme, EVIDENCE: evidence}


def flags(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Write both pages."""
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
