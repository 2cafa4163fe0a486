"""Every Python block of every page runs."""

import functools
import re

import pytest
import torch
from torch import nn

import accelerated
from docs_code import CASES, ELSEWHERE, LIBRARY, RUN
from docs_pages import PAGES, ROOT, Block, blocks_of, fences, text_of
from layerdropback import PRESETS
from layerdropback.settings import Settings

# What no test can run, with the reason that stands above it on its page: page, reason.
NOT_RUN: list[tuple[str, str]] = []


@pytest.fixture
def group(tmp_path):
    """A group of this process alone."""
    where = f"file://{tmp_path / 'group'}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture
def eager(monkeypatch):
    """Compiling as such is tested elsewhere."""
    quick = functools.partialmethod(nn.Module.compile, backend="eager")
    monkeypatch.setattr(nn.Module, "compile", quick)


@pytest.fixture
def forgotten():
    """What Accelerate keeps of a process."""
    yield
    accelerated.forget()


@pytest.mark.parametrize(
    ("page", "code"), CASES, ids=[f"{page}-{number}" for number, (page, _) in enumerate(CASES)]
)
def test_it_runs(page, code, request, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    how = RUN[page]
    for fixture in how.fixtures:
        request.getfixturevalue(fixture)
    names = how.names(code, tmp_path)
    exec(code, names)
    how.check(code, names, capsys.readouterr().out, tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_code_that_no_test_runs(page):
    if blocks_of(page):
        assert page in RUN or page in ELSEWHERE
        assert page in RUN or f'blocks_of("{page}")' in text_of(ELSEWHERE[page])
    assert text_of(page).count("```python") == sum(b.kind == "python" for b in fences(page))


def test_what_cannot_run_is_listed_with_its_reason():
    found = [block for page in PAGES for block in fences(page) if block.reason is not None]
    assert [(block.page, block.reason) for block in found] == NOT_RUN


def test_a_reason_stands_right_above_its_block():
    text = "a\n<!-- not run: needs a GPU -->\n\n```python\nx\n```\n\n```bash\nldb\n```\n"
    assert list(fences("p", text)) == [
        Block("p", 5, "python", "x\n", "needs a GPU"),
        Block("p", 9, "bash", "ldb\n", None),
    ]


def test_the_kinds_of_blocks_are_few():
    kinds = {block.kind for page in PAGES for block in fences(page)}
    assert kinds <= {"python", "bash", "text", "diff"}


def test_the_preset_is_short_for_what_the_readme_says():
    (line,) = [
        one for one in text_of("README.md").splitlines() if one.startswith("`LayerDropBack(")
    ]
    call = line.removeprefix("`LayerDropBack(model, optimizer, ").partition(")`")[0]
    assert eval(f"Settings({call})", LIBRARY | {"Settings": Settings}) == PRESETS["finetune"]


def test_the_reports_parts_are_those_that_the_tutorial_explains():
    part = text_of("docs/start-images.md").partition("## Read the report")[2].partition("\n## ")[0]
    source = text_of("src/layerdropback/lab/report/build.py")
    headings = re.findall(r'page\.heading\("(.*)"\)', source)
    assert {*headings} - {"Learning rates tried"} == {*re.findall(r"^\| \*\*(.*)\*\*", part, re.M)}
    tables = text_of("src/layerdropback/lab/report/results.py")
    assert all(f'"{name}' in tables for name in ("to plain, points", "of plain's"))


def test_pages_lie_flat_in_one_folder():
    assert [path for path in (ROOT / "docs").rglob("*.md") if path.parent != ROOT / "docs"] == []
