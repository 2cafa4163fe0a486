"""docs/integrations.md and docs/start-text.md: their code runs, the tests they name are there."""

import re
from pathlib import Path

import pytest

import lightning_runs
import tiny_language
import trainer_runs
from by_hand import seed_all
from docs_pages import blocks_of

pytestmark = [
    pytest.mark.filterwarnings(text) for text in (*lightning_runs.QUIET, *trainer_runs.QUIET)
]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text()
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


def blocks_under(heading):
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```", part, re.DOTALL | re.MULTILINE)


def test_no_block_is_left_out():
    assert blocks_of("docs/integrations.md") == [
        *blocks_under("transformers"),
        *blocks_under("Lightning"),
    ]


def test_the_code_for_transformers(tmp_path):
    names = {
        "model": trainer_runs.made("bert"),
        "args": trainer_runs.arguments(tmp_path),
        "data": trainer_runs.samples("bert"),
    }
    first, second = blocks_under("transformers")
    exec(first, names)
    (callback,) = (c for c in names["trainer"].callback_handler.callbacks if hasattr(c, "ldb"))
    assert callback.ldb.stats()["drop_steps"] == 22
    exec(second, names)
    names["trainer"].remove_callback(callback)
    names["trainer"].add_callback(names["callback"])
    names["args"].max_steps = 110
    names["trainer"].train()
    assert names["callback"].ldb.stats()["drop_steps"] == 50


@pytest.mark.filterwarnings("ignore:.*`logs` directory.*")
def test_the_code_for_lightning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seed_all(0)
    names = {"module": lightning_runs.Classifier(), "loader": lightning_runs.loader()}
    (block,) = blocks_under("Lightning")
    exec(block, names)
    (callback,) = (c for c in names["trainer"].callbacks if hasattr(c, "ldb"))
    assert callback.ldb.stats()["drop_steps"] == 20


def test_the_tutorial_for_text(tmp_path, monkeypatch, capsys):
    """Its blocks one after the other, as a reader types them."""
    monkeypatch.chdir(tmp_path)
    tiny_language.make_folder(tmp_path / "minilm")
    tiny_language.make_sentences(tmp_path / "made")
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text((tmp_path / "made" / name).read_text())
    names = {}
    for block in blocks_of("docs/start-text.md"):
        exec(block, names)
    output = capsys.readouterr().out
    assert "2 of 2 steps dropped\n" in output
    (saved,) = re.findall(r"^([\d.]+) of the backward pass was skipped$", output, re.MULTILINE)
    assert 0 < float(saved) < 0.5, "the passes of the first step are full"
    assert re.search(r"'label': '(pos|neg)'", output.splitlines()[-1])


def test_every_test_that_the_table_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in TESTS} == set()


def test_every_cell_says_something():
    rows = [
        line
        for line in PAGE.partition("\n## What is tested\n")[2].splitlines()
        if line.startswith("|")
    ]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert {len(row) for row in cells} == {4}
    assert all(cell for row in cells[2:] for cell in row)
