"""The site: what goes into it, without mkdocs; and, where that is installed, the site itself."""

import doctest
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml

import layerdropback
from command_lines import COMMANDS
from docs_pages import DOCS, ROOT, text_of
from website import commands, picture, repository
from website.commands import commands_page
from website.repository import address_of, linked, path_of, relink, shown, targets

MADE = {"commands.md"}  # by website/hooks.py; what it makes of files is in the folder repository
needs_mkdocs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="mkdocs is not installed: make docs installs it",
)


@pytest.mark.parametrize("module", [commands, repository])
def test_examples_in_the_code(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def addresses(entry):
    """The pages in a part of the site's menu."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in addresses(part)]


def menu():
    nav = text_of("mkdocs.yml").partition("\nnav:\n")[2]
    return addresses(yaml.safe_load(nav))


def test_every_page_is_in_the_menu_once():
    files = {address_of(page) for page in DOCS}
    found = menu()
    assert sorted(found) == sorted(set(found))
    assert files | MADE | {"repository/CHANGELOG.md"} == set(found)


def test_every_command_and_flag_is_on_the_commands_page():
    page = commands_page()
    for name, command in COMMANDS.items():
        part = page.partition(f"\n## ldb {name}\n")[2].partition("\n## ")[0]
        assert part, name
        for param in command.params:
            shown_as = param.opts[0] if param.param_type_name == "option" else param.name
            assert re.search(rf"^\| `[^`]*{re.escape(shown_as)}\b", part, re.M | re.I), shown_as
        assert all(line in part for line in command.epilog.splitlines())
        rows = [line for line in part.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


def test_the_commands_page_needs_no_torch():
    code = "import sys; from website.commands import commands_page; assert len(commands_page()) > 9"
    code += "; assert not {'torch', 'numpy', 'timm'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_all_that_is_public_is_on_the_page_of_the_api():
    named = re.findall(
        r"^::: layerdropback\.([\w.]+)\.(\w+)$", text_of("docs/api.md"), re.MULTILINE
    )
    for module, name in named:  # read, as a framework takes long to import
        source = text_of(f"src/layerdropback/{module.replace('.', '/')}.py")
        assert re.search(rf"^(?:class |def )?{name}\b", source, re.MULTILINE), name
    names = {name for _, name in named}
    assert {*layerdropback.__all__, *importlib.import_module("layerdropback.lab").__all__} <= names


def test_the_picture_is_what_its_command_draws():
    assert picture.FILE.read_text() == picture.picture(), "run python -m website.picture"
    assert picture.picture().count("<rect") == 1 + 3 * picture.LAYERS


@pytest.mark.parametrize("page", DOCS)
def test_links_of_the_site_lead_to_pages_that_it_has(page):
    has = {address_of(path) for path in [*DOCS, *linked(ROOT)]} | {"images/steps.svg"}
    text = relink(text_of(page), address_of(page))
    assert {path.removeprefix("docs/") for path in targets(text, page)} <= has


def test_cards_and_scripts_are_pages():
    found = linked(ROOT)
    cards = {path for path in found if path.startswith("benchmarks/results/")}
    assert len(cards) > 20
    assert {"CHANGELOG.md", "examples/ddp.py"} <= found
    assert {path_of(address_of(path)) for path in found} == found
    assert shown(ROOT, "examples/ddp.py").startswith(
        "# ddp.py\n\n`examples/ddp.py`\n\n````python\n"
    )
    card = "repository/benchmarks/results/a.md"
    assert (
        relink("[b](b.md), [m](../../docs/method.md#x)", card)
        == "[b](b.md), [m](../../../method.md#x)"
    )


# ---- the site itself -----------------------------------------------------------------------------


class Loads(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href", ""))
        if tag == "a":
            self.links.append(given.get("href") or "")


@pytest.mark.slow
@needs_mkdocs
def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (tmp_path / "404.html").unlink()  # a server shows it, at any address
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        found = Loads(page.read_text("utf-8"))
        assert not [one for one in found.loads if re.match(r"(?:[a-z]+:)?//", one)], page
        for link in found.links:
            target = link.partition("#")[0]
            if target and not re.match(r"[a-z]+:", target):
                assert (page.parent / target).exists(), (page, link)
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text("utf-8")), style
