"""README and docs are true: their code runs, their tables are the code's, their links lead."""

import functools
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import accelerated
import layerdropback
import recipes
from layerdropback import PRESETS, LayerDropBack
from layerdropback.cli import main as cli
from layerdropback.settings import Settings
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import FLAGS, flat
from layerdropback.training.export import export_weights
from layerdropback.training.inputs import Inputs
from layerdropback.training.models import ModelSpec, build_model
from layerdropback.training.recipes import RECIPES
from layerdropback.training.settings_file import read_settings

ROOT = Path(__file__).parents[1]
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", *DOCS]
LIBRARY = {name: getattr(layerdropback, name) for name in layerdropback.__all__}


def text_of(page):
    return (ROOT / page).read_text()


def blocks_of(page):
    return re.findall(r"^```python\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)


def rows_of(page, heading):
    """The cells of the first table under a heading, without its two first lines."""
    _, found, under = text_of(page).partition(f"\n## {heading}\n")
    assert found, heading
    lines = under[under.index("\n|") + 1 :].splitlines()
    end = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:end]]


# ---- the code ------------------------------------------------------------------------------------


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.inner(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Skip() for _ in range(4)))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.blocks(x))


def yours():
    """What the docs take for the reader's own."""
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    data = torch.utils.data.TensorDataset(torch.randn(24, 8), torch.randint(3, (24,)))
    mine = {"torch": torch, "nn": nn, "model": model, "optimizer": optimizer, "device": "cpu"}
    mine |= {"loader": torch.utils.data.DataLoader(data, batch_size=3)}
    return LIBRARY | mine | {"criterion": nn.functional.cross_entropy}


@pytest.fixture
def group(tmp_path):
    """A group of this process alone."""
    where = f"file://{tmp_path / 'group'}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_the_readmes_loop_runs_and_drops(capsys):
    names = {}
    (loop,) = blocks_of("README.md")
    exec(loop, names)
    stats = names["ldb"].stats()
    assert stats["drop_steps"] == stats["step"] == 3 * 8
    assert "truncate, share 0.5 (fixed)" in capsys.readouterr().out


def test_the_preset_is_short_for_what_the_readme_says():
    (call,) = re.findall(r"`LayerDropBack\(model, optimizer, (.*)\)`", text_of("README.md"))
    assert eval(f"Settings({call})", LIBRARY | {"Settings": Settings}) == PRESETS["finetune"]


@pytest.mark.parametrize("block", blocks_of("docs/library.md"))
def test_the_librarys_page_runs(block):
    """Each by itself, as a loop that begins with it."""
    names = yours()
    if "ldb = " not in block or "ldb.detach()" in block:
        always = layerdropback.Schedule(every=1, start=0)
        names["ldb"] = LayerDropBack(names["model"], names["optimizer"], "truncate", always)
    exec(block, names)
    trains = "backward()" in block or "autograd.grad(" in block
    assert (names["ldb"].stats()["drop_steps"] > 0) == trains


@pytest.mark.parametrize("heading", recipes.blocks())
def test_every_recipe_runs_and_drops(heading):
    """What else holds of them is in tests/contracts/test_recipes.py and tests/integrations."""
    names = recipes.yours(heading)
    try:
        exec(recipes.blocks()[heading], names)
    finally:
        accelerated.forget()
    stats = names["ldb"].stats()
    assert 0 < stats["drop_steps"] < stats["step"]


def test_the_recipes_are_all_in_the_pages_table():
    headings = re.findall(r"^## (.*)$", text_of("docs/recipes.md"), re.MULTILINE)
    table = text_of("docs/recipes.md").partition("\n## ")[0]
    assert re.findall(r"^\| \[(.*?)\]", table, re.MULTILINE) == headings
    assert {*recipes.blocks(), *recipes.blocks("diff")} == set(headings)


def test_compiling_is_as_its_page_has_it(monkeypatch):
    eager = functools.partialmethod(nn.Module.compile, backend="eager")
    monkeypatch.setattr(nn.Module, "compile", eager)
    for block in blocks_of("docs/compile.md"):
        names = yours()
        exec(block, names)
        assert not names["ldb"].is_drop_epoch


@pytest.mark.usefixtures("group")
def test_several_ranks_are_as_their_page_has_them():
    (block,) = blocks_of("docs/distributed.md")
    names = yours() | {"DistributedDataParallel": DistributedDataParallel}
    names["network"] = names["model"]
    exec(block, names)
    assert names["ldb"].stats()["gradient_bytes"] == 0


def test_a_runs_weights_are_read_as_the_page_has_it(tmp_path, monkeypatch):
    spec = ModelSpec("test_vit", 10, 3, 160, False, {})
    model, _ = build_model(spec)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "NAME"
    folder.mkdir(parents=True)
    notes = asdict(Inputs([0.5] * 3, [0.5] * 3))
    export_weights(model, folder / "weights.safetensors", spec, {"classes": ["a"], **notes})
    names = {}
    (block,) = blocks_of("docs/command-line.md")
    exec(block, names)
    assert names["notes"]["classes"] == ["a"]
    assert names["transform"](Image.new("RGB", (200, 300))).shape == (3, 160, 160)


def test_a_profile_of_ones_own_model_is_made_as_the_docs_have_it(capsys):
    (block,) = blocks_of("docs/profile.md")
    exec(block, {})
    output = capsys.readouterr().out
    assert "| uniform 0.5 (tensor) " in output
    assert "backward, weights" in output


def test_memory_is_predicted_as_the_docs_have_it(capsys):
    (block,) = blocks_of("docs/memory.md")
    names = {}
    exec(block, names)
    full, cut = names["full"], names["cut"]
    assert full.peak > cut.peak > full.kinds["parameters"] > 2**30
    assert f"{full.gib:.2f} GiB; {cut.gib:.2f} GiB from" in capsys.readouterr().out


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


@pytest.mark.usefixtures("known_times")
def test_a_task_of_ones_own_is_compared_as_the_docs_have_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks_of("docs/compare.md")
    names = {}
    exec(block, names)
    record = names["record"]
    assert record.names() == ["plain", "half", "plain@half"]
    assert record.finished_seeds() == [0, 1, 2]
    assert record.verdicts()["half"].text in capsys.readouterr().out
    assert (tmp_path / "runs" / "mine" / "report.html").exists()


def test_no_page_has_code_that_no_test_runs():
    run = {"README.md", *(f"docs/{n}.md" for n in ("library", "compile", "distributed"))}
    run |= {"docs/command-line.md", "docs/profile.md", "docs/memory.md", "docs/recipes.md"}
    run |= {
        "docs/compare.md",
        "docs/integrations.md",
    }  # the last in tests/integrations/test_page.py
    assert {page for page in PAGES if "```" in text_of(page)} == run


# ---- the tables ----------------------------------------------------------------------------------


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
