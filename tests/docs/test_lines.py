"""Every line for a shell on README's and the docs' pages runs in a fresh clone, or says why not."""

import pytest

from docs_lines import AS_IT_IS, LINES, How, as_run
from docs_pages import PAGES, lines_of
from run_lines import run_page


@pytest.mark.parametrize("page", PAGES)
def test_each_line_has_its_row(page):
    """A new line needs one in tests/support/docs_lines.py: how it is run, or why it is not."""
    assert [line for line, _ in LINES.get(page, ())] == list(lines_of(page))


def test_what_is_not_run_says_why_and_is_the_smaller_part():
    hows = [how for rows in LINES.values() for _, how in rows]
    reasons = [how.reason for how in hows if how.reason is not None]
    assert all(reasons)
    assert len(reasons) < len(hows) / 5
    assert not [how for how in hows if how.reason and (how.flags or how.slow)]


def test_lines_are_found_in_order():
    page = "a `ldb no`\n\n    make x   # why\n\n```bash\nldb a \\\n    --b '#1'  # c\n# d\n```\n"
    page += "```text\nldb: error\n| ldb |\npip install x\n```\n```python\n    ldb = 1\n```\n"
    assert list(lines_of("p", page)) == ["make x", "ldb a --b '#1'", "pip install x"]


def test_a_line_is_shortened():
    how = How({"--epochs": "2", "--seeds": "1"})
    assert as_run("ldb x --epochs 8 --data d", how) == "ldb x --epochs 2 --data d --seeds 1"
    assert as_run("ldb x --pretrained ...", AS_IT_IS) == "ldb x --init FILE.safetensors"


@pytest.mark.parametrize("page", LINES)
@pytest.mark.slow
def test_the_lines_run(page):
    failed = [str(done) for done in run_page(page, quick=True) if done.code]
    assert not failed, "\n".join(failed)
