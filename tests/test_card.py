"""Cards: what is written, and that every card in the tree is so."""

import csv
import json

import pytest

from benchmarks.__main__ import main
from benchmarks.cards.evidence_rows import RESULTS
from benchmarks.common import card_files as card
from layerdropback.lab.packed import pack, text_of
from layerdropback.lab.record import Record

CARDS = sorted(path.stem for path in RESULTS.glob("*.md"))


def test_a_card_is_three_files(tmp_path):
    text = "# A card\n\n| a |\n| - |\n| x |\n\n| b, MB | c |\n| --- | --- |\n| 1,024.5 | no |\n"
    out = tmp_path / "new" / "2026-card-1.5"
    card.write(out, text, {"b": [1.5, None]}, main=1)
    files = {path.name: path for path in out.parent.iterdir()}
    assert files.keys() == {f"2026-card-1.5{end}" for end in (".md", ".csv", ".json.gz")}
    assert files["2026-card-1.5.md"].read_text() == text
    assert files["2026-card-1.5.csv"].read_text() == '"b, MB",c\n1024.5,no\n'
    assert card.read(out) == {"b": [1.5, None]}
    before = files["2026-card-1.5.json.gz"].read_bytes()
    card.write(tmp_path / "other", text, {"b": [1.5, None]})
    assert (tmp_path / "other.json.gz").read_bytes() == before


@pytest.mark.parametrize(
    ("cells", "columns"),
    [
        (["+4 [-5, +6.5]", ""], {"x": ["+4", ""], "x, low": ["-5", ""], "x, high": ["+6.5", ""]}),
        (["4 [1, 7], n = 32"], {"x": ["4"], "x, low": ["1"], "x, high": ["7"], "x, n": ["32"]}),
        (["5.968 (14 of 16)", "never"], {"x": ["5.968", ""], "x, runs": ["14", ""]}),
        (["14.2 / 3.58", "40"], {"x": ["14.2", "40"], "x, second": ["3.58", ""]}),
        (["32.6 %", "-0.0 %", "1.1e-02", "**+3**"], {"x": ["32.6", "-0.0", "1.1e-02", "+3"]}),
        (["yes", "10 x 20", "fp16"], {"x": ["yes", "10 x 20", "fp16"]}),
    ],
)  # fmt: skip
def test_a_cells_numbers_have_a_column_each(cells, columns):
    head, *rows = csv.reader(card.as_csv([["x"], *([cell] for cell in cells)]).splitlines())
    assert {name: list(column) for name, *column in zip(head, *rows, strict=True)} == columns


def test_a_bar_in_a_cell_ends_none():
    assert card.tables("| a | b |\n| --- | --- |\n| x \\| y | |") == [[["a", "b"], ["x | y", ""]]]


def test_a_comparisons_folder_becomes_a_card(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    data = {"name": "few", "train": 9, "test": 9}
    arm = {"name": "plain", "role": "plain", "of": None, "says": "plain training"}
    arms = [arm | {"settings": {"epochs": 1}}]
    Record("ldb compare", {}, data, {}, {}, arms, [0], margin=0.5).write(run)
    (run / "report.md").write_text("# R\n\n| arm | n |\n| --- | --- |\n| plain | 3 |\n")
    main(["card", str(run), str(tmp_path / "card")])
    assert (tmp_path / "card.csv").read_text() == "arm,n\nplain,3\n"
    assert Record.read(tmp_path / "card.json.gz") == Record.read(run)


# ---- the cards in the tree -----------------------------------------------------------------------


def test_there_are_cards_and_no_plain_records():
    assert len(CARDS) >= 27
    assert not list(RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", CARDS)
def test_a_cards_numbers_and_record_are_beside_it(name):
    text = (RESULTS / f"{name}.md").read_text()
    numbers = (RESULTS / f"{name}.csv").read_text()
    assert numbers in [card.as_csv(table) for table in card.tables(text)]
    packed = RESULTS / f"{name}.json.gz"
    assert text_of(packed) == json.dumps(card.read(RESULTS / name), separators=(",", ":")) + "\n"
    assert packed.read_bytes()[:10] == pack(None)[:10], "its head has neither time nor name"
