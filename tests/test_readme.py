"""README and docs are true: their tables are the code's, their flags are there, their links lead.

Their code runs in tests/docs.
"""

import re

import pytest
import typer

import layerdropback
import recipes
from docs_pages import PAGES, ROOT, text_of
from layerdropback import PRESETS
from layerdropback.cli import main as cli
from layerdropback.settings import Settings
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import FLAGS, flat
from layerdropback.training.recipes import RECIPES
from layerdropback.training.settings_file import read_settings

LIBRARY = {name: getattr(layerdropback, name) for name in layerdropback.__all__}


def rows_of(page, heading):
    """The cells of the first table under a heading, without its two first lines."""
    _, found, under = text_of(page).partition(f"\n## {heading}\n")
    assert found, heading
    lines = under[under.index("\n|") + 1 :].splitlines()
    end = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:end]]


# ---- the tables ----------------------------------------------------------------------------------


def test_the_recipes_are_all_in_the_pages_table():
    headings = re.findall(r"^## (.*)$", text_of("docs/recipes.md"), re.MULTILINE)
    table = text_of("docs/recipes.md").partition("\n## ")[0]
    assert re.findall(r"^\| \[(.*?)\]", table, re.MULTILINE) == headings
    assert {*recipes.blocks(), *recipes.blocks("diff")} == set(headings)


def test_the_page_of_memory_has_no_number_that_its_card_does_not_have():
    card = text_of("benchmarks/results/2026-11-28-memory-public-table.md")
    rows = {re.sub(" +", " ", line) for line in card.splitlines()}
    for cells in rows_of("docs/memory.md", "How right it is"):
        start = "| " + " | ".join(cell for cell in cells if cell)
        assert any(row.replace("| |", "|").startswith(start) for row in rows), cells
    lines = [line.strip("|").split("|") for line in text_of("docs/memory.md").splitlines()]
    lines = [[cell.strip() for cell in cells] for cells in lines]
    arms = {"full": "full", "lisa": "LISA", "blocks": "blocks", "lora": "LoRA"}
    found = [cells for cells in lines if len(cells) == 12 and cells[0] in arms]
    assert len(found) == 4
    for arm, trained, *kinds, peak, gib, where, _, _ in found:
        start = [arms[arm], trained, *kinds, peak, gib]
        (row,) = [row for row in rows if row.startswith("| " + " | ".join(start) + " | ")]
        assert f"| {where} |" in row


def test_the_table_of_presets_is_the_code():
    found = {}
    for name, *cells in rows_of("docs/library.md", "Presets"):
        values = [eval(cell.strip("`"), LIBRARY) for cell in cells]
        strategy, schedule, lr_scale, batch_scale = values
        found[name.strip("`")] = Settings(strategy, schedule, lr_scale, batch_scale)
    assert found == dict(PRESETS)


def test_the_table_of_flags_is_the_code():
    rows = rows_of("docs/command-line.md", "What to drop, and when")
    found = {row[0].strip("`"): row[1] for row in rows}
    assert found == {f"--{name.replace('_', '-')}": shown(FLAGS[name].default) for name in FLAGS}


def shown(default):
    if default is False:
        return "off"
    if default in (None, ()):
        return "none"
    return ", ".join(default) if isinstance(default, tuple) else str(default)


def test_the_table_of_the_recipe_for_fine_tuning_is_the_code():
    found = {row[0].strip("`"): row[1] for row in rows_of("docs/training.md", "Fine-tuning")}
    own = {k: v for k, v in RECIPES["finetune"].items() if k not in flat(PRESETS["finetune"])}
    assert found == {f"--{name.replace('_', '-')}": shown(value) for name, value in own.items()}


def test_every_recipe_is_in_the_docs_and_the_examples_settings_are_good():
    docs = text_of("docs/training.md")
    assert all(f"| `{recipe}` |" in docs for recipe in RECIPES)
    for file in (ROOT / "examples").glob("*.yaml"):
        TrainConfig.from_dict(read_settings(file)).check()


def test_the_status_has_no_number_that_its_card_does_not_have():
    rows = rows_of("README.md", "Does it pay?")
    assert len(rows) >= 5
    for task, _, n, time, *gains, card in rows:
        (link,) = re.findall(r"\]\((.*)\)", card)
        numbers = re.findall(r"[+-]\d+\.\d+", " ".join(gains))
        assert len(numbers) == 6, task
        result = text_of(link)
        assert all(number in result for number in numbers), task
        assert f"{time} of plain training's time" in result, task
        assert f"n = {n} " in result, task


def test_the_tutorial_has_no_number_that_its_card_does_not_have():
    page = text_of("docs/start-text.md")
    found = re.search(
        r"with (\w+) seeds, .*\*(.*)\*: ([\d.]+) of plain training's time, and ([\d.]+) points "
        r"above plain\ntraining of that time \(\[card\]\((.*)\)\)",
        page,
    )
    seeds, verdict, time, points, card = found.groups()
    says = f"half: {verdict}: {time} of plain training's time .*n = 8\\); \\+{points} points"
    assert seeds == "eight"
    assert re.search(says, text_of(f"docs/{card}"))


# ---- flags and links -----------------------------------------------------------------------------


def flags_of(command):
    """A command's flags, as the parser knows them."""
    for param in command.params:
        yield from (*param.opts, *param.secondary_opts)


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "examples/cifar10-cpu.yaml"])
def test_every_flag_that_is_named_exists(page):
    root = typer.main.get_command(cli.app)
    known = {flag for command in (root, *root.commands.values()) for flag in flags_of(command)}
    text = re.sub(r"python -m benchmarks[^`\n]*", "", text_of(page))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text))
    torchruns = {"--nproc-per-node", "--max-restarts"}
    assert named <= known | {"--help"} | torchruns


def anchors_of(path):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text_of(page))
    for target, anchor in links:
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), f"{target}#{anchor}"
