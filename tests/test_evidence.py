"""docs/evidence.md and README's status are what the records show."""

import re

import pytest

from benchmarks.cards import evidence_table
from benchmarks.cards.evidence_lists import STATUS, TASKS
from benchmarks.cards.evidence_measured import MEASURED
from benchmarks.cards.evidence_rows import RESULTS, method_of, rows_of

CARDS = {path.stem for path in RESULTS.glob("*.md")}
COMPARISONS = [card for cards in TASKS.values() for card in cards]


def text_of(card):
    return (RESULTS / f"{card}.md").read_text()


@pytest.fixture(scope="module")
def pages():
    return evidence_table.pages()


def test_the_pages_are_what_the_command_writes(pages):
    assert {path.name for path in pages} == {"README.md", "evidence.md"}
    for path, text in pages.items():
        assert path.read_text() == text, "run python -m benchmarks evidence-table"


def test_every_card_stands_in_one_table(pages):
    assert sorted([*COMPARISONS, *MEASURED]) == sorted(CARDS)
    text = pages[evidence_table.EVIDENCE]
    for card in CARDS:
        assert f"(../benchmarks/results/{card}.md)" in text, card


@pytest.mark.parametrize("card", COMPARISONS)
def test_a_comparisons_rows_are_its_cards(card):
    rows = rows_of(card)
    assert rows
    for row in rows:
        if row.verdict is not None:
            assert row.text.startswith(row.verdict)
            assert row.text in text_of(card)
        elif row.n:
            (line,) = re.findall(rf"^\| {re.escape(row.arm)} +\| {row.n} .*$", text_of(card), re.M)
            points = row.equal.as_text("+.2f")
            assert all(number in line for number in (f"{row.time:.3f}", points)), line


@pytest.mark.parametrize("card", MEASURED)
def test_what_was_measured_stands_on_its_card(card):
    assert rows_of(card) == []
    numbers = re.findall(
        r"\d+\.\d+|\b\d{3,}\b", re.sub(r"`.*?`|`?Truncate`? 0\.5", "", MEASURED[card][1])
    )
    assert numbers
    assert all(number in text_of(card) for number in numbers)


def test_the_status_is_of_gains_and_of_losses(pages):
    lines = pages[evidence_table.README].partition("<!-- status: begin -->")[2].splitlines()[4:]
    verdicts = []
    for (task, _, card, arm), line in zip(STATUS, lines, strict=False):
        (row,) = [row for row in rows_of(card) if row.arm == arm]
        assert line.startswith(f"| {task} |")
        assert f"| {row.n} | {row.time:.2f} |" in line
        gain = (
            f"**{row.equal.mean:+.2f}** ["
            if row.above
            else f"{row.verdict}: {row.equal.mean:+.2f} ["
        )
        assert gain in line
        verdicts.append(row.verdict)
    assert {"better at equal time", "no gain"} <= set(verdicts)


def test_a_method_in_words():
    paper = {"strategy": "uniform", "drop_rate": 0.5, "every": 2, "start": 1, "lr_scale": 2.0}
    assert method_of(paper) == "uniform 0.5, every second epoch, learning rate x 2"
    late = {"strategy": "truncate", "drop_rate": 0.25, "depth": "power", "every": 1, "start": 5}
    assert method_of(late) == "truncate 0.25, power depth, from epoch 6 on"
    thawed = {"strategy": "truncate", "drop_rate": 0.3, "ramp": "falling", "anneal": 0.66}
    assert method_of(thawed) == "truncate 0.3, uniform depth, falling, the last 66 % full"


def test_a_page_without_its_markers_is_refused():
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    new = "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb"
    assert evidence_table.between(page, "x", "new") == new
    assert evidence_table.between(new, "x", "new") == new
    with pytest.raises(ValueError, match="needs <!-- y: begin --> and"):
        evidence_table.between(page, "y", "new")
