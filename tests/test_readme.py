"""The README's training loop is run as it stands, and its tables are compared with the code."""

import inspect
import re
from pathlib import Path

import pytest

from layerdropback import PRESETS, LayerDropBack, cli
from layerdropback.training.config import TrainConfig
from layerdropback.training.recipes import RECIPES
from layerdropback.training.settings_file import read_settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_training_loop_runs():
    names = {}
    exec(blocks("python")[0], names)
    assert names["ldb"].stats()["drop_steps"] == 2 * 8


def test_a_profile_of_ones_own_model_is_made_as_the_docs_have_it(capsys):
    text = (ROOT / "docs" / "profile.md").read_text()
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    output = capsys.readouterr().out
    assert "| uniform 0.5 (tensor) " in output
    assert "backward, weights" in output


def test_every_argument_is_in_the_signature_and_in_the_table():
    shown = re.search(r"`(LayerDropBack\(model, optimizer, drop_rate.*?\))`", README, re.DOTALL)[1]
    parameters = LayerDropBack.__init__.__kwdefaults__
    for name, default in parameters.items():
        assert f"{name}={default!r}".replace("'", '"') in shown
        assert f"`{name}`" in README


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_in_the_table(preset):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{preset}`"))
    settings = PRESETS[preset]
    assert f"| {settings['unit']} | {settings['drop_rate']} |" in row
    assert row.endswith(f"x {settings['batch_scale']} |")


def flags_of(command):
    """A command's flags, as the parser knows them."""
    for parameter in inspect.signature(command).parameters.values():
        option = parameter.default if hasattr(parameter.default, "param_decls") else None
        option = option or getattr(parameter.annotation, "__metadata__", [None])[0]
        for name in getattr(option, "param_decls", None) or ():
            yield from name.split("/")
        yield f"--{parameter.name.replace('_', '-')}"


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/training.md",
        "docs/compare.md",
        "docs/profile.md",
        "examples/cifar10-cpu.yaml",
    ],
)
def test_every_flag_that_is_named_exists(page):
    commands = [command.callback for command in cli.app.registered_commands]
    known = {flag for command in commands for flag in flags_of(command)}
    text = re.sub(r"python benchmarks.*", "", (ROOT / page).read_text())
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text))
    torchruns = {"--nproc-per-node", "--max-restarts"}
    assert named - known <= {"--help", *torchruns}
    assert len(named) >= 3


def test_every_recipe_is_in_the_docs_and_the_examples_settings_are_good():
    docs = (ROOT / "docs" / "training.md").read_text()
    assert all(f"| `{recipe}` |" in docs for recipe in RECIPES)
    for file in (ROOT / "examples").glob("*.yaml"):
        TrainConfig.from_dict(read_settings(file)).check()
