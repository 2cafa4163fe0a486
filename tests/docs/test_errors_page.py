"""docs/errors.md has the code's own words: each error on it is raised."""

import re

import pytest
import torch

from docs_pages import text_of
from layerdropback.errors import AttachError, LayerDropBackError
from provoked import CASES, COMMANDS

PAGE = text_of("docs/errors.md")
TYPED = "On the command line"


def rows(heading):
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def assert_says(text, row):
    fact, cause, cure = row
    template = f"{fact.strip('`')}. Cause: {cause}. Cure: {cure}."
    pattern = ".+?".join(map(re.escape, template.split("…")))
    assert re.fullmatch(pattern, text), text


@pytest.fixture
def group(tmp_path):
    where = f"file://{tmp_path / 'group'}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("heading", "number"),
    [(heading, number) for heading, cases in CASES.items() for number in range(len(cases))],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # on the way to the error
def test_the_code_says_what_the_page_says(heading, number, request):
    case = CASES[heading][number]
    if case.__name__ == "ddp":
        request.getfixturevalue("group")
    with pytest.raises(LayerDropBackError) as caught:
        case()
    error = caught.value
    (text,) = error.problems if isinstance(error, AttachError) else (str(error),)
    assert f"`{type(error).__name__}`" in PAGE
    assert_says(text, rows(heading)[number])


@pytest.mark.parametrize(("number", "arguments"), [*enumerate(COMMANDS)])
def test_the_command_line_says_what_the_page_says(number, arguments, run):
    prepare, *arguments = arguments if callable(arguments[0]) else (lambda: None, *arguments)
    prepare()
    code, _, errors = run(*arguments)
    assert code == 2
    assert_says(errors.removeprefix("ldb: error: ").strip(), rows(TYPED)[number])


def test_every_row_has_its_case():
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == [*CASES, TYPED]
    assert {heading: len(rows(heading)) for heading in CASES} == {
        h: len(c) for h, c in CASES.items()
    }
    assert len(rows(TYPED)) == len(COMMANDS)
    assert all(len(row) == 3 for heading in [*CASES, TYPED] for row in rows(heading))
