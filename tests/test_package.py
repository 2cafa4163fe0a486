"""The core needs torch, numpy and networkx alone, and its names come only when asked for."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import layerdropback
from layerdropback import lab

ROOT = Path(__file__).parents[1]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_package_imports_no_torch():
    result = run("import sys, layerdropback; assert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr


def test_what_the_command_line_reads_of_the_core_is_light():
    """``ldb --help`` shows strategies' fields, and waits for neither torch nor numpy."""
    code = """
import sys
from layerdropback import PRESETS, Branch, Control, Schedule, Truncate, Uniform
from layerdropback import option, settings, strategies
assert settings.Settings(Branch(), Schedule()).to_state()
assert not {'torch', 'numpy', 'networkx'} & sys.modules.keys()
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def imported(node):
    """What code imports of others, but for what it can do without."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from [] if child.level else [child.module.partition(".")[0]]
        elif isinstance(child, ast.Try) and "ImportError" in "".join(
            map(ast.unparse, child.handlers)
        ):
            yield from (name for other in child.handlers for name in imported(other))
        elif not isinstance(child, ast.If) or "TYPE_CHECKING" not in ast.unparse(child.test):
            yield from imported(child)


def test_the_core_imports_what_it_may():
    source = Path(layerdropback.__file__).parent
    others = {"runs", "lab", "training", "tasks", "cli", "integrations", "__main__.py"}
    allowed = {"torch", "numpy", "networkx"} | sys.stdlib_module_names
    files = [f for f in source.rglob("*.py") if f.relative_to(source).parts[0] not in others]
    found = {file.name: set(imported(ast.parse(file.read_text()))) - allowed for file in files}
    assert len(files) > 40
    assert not {name: names for name, names in found.items() if names}


@pytest.mark.slow
def test_the_core_needs_no_extra():
    """Run where none is there: seconds, for torch's import."""
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'timm', 'torchvision', 'sklearn', 'typer', 'rich', 'safetensors'}:
            raise ImportError(name)
import torch, torch._dynamo  # torch itself looks for some of them
sys.meta_path.insert(0, Block())
from layerdropback import LayerDropBack, Uniform
class Net(torch.nn.Linear):
    def group_matcher(self, coarse=False):  # looks like timm, which is not there
        return {}
model = torch.nn.Sequential(Net(2, 2), torch.nn.Linear(2, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
ldb = LayerDropBack(model, optimizer, Uniform(unit='block'))
for epoch in range(2):
    for batch in ldb.epoch([torch.ones(1, 2)], epoch):
        model(batch).sum().backward()
        optimizer.step()
assert ldb.stats()['drop_steps'] == 1
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_every_public_name_exists_and_no_other():
    assert sorted(layerdropback._HOME) == sorted(layerdropback.__all__)
    for name in layerdropback.__all__:
        home = importlib.import_module(f"layerdropback.{layerdropback._HOME[name]}")
        assert getattr(home, name) is getattr(layerdropback, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = layerdropback.Nothing


def test_the_labs_names_come_only_when_asked_for():
    result = run("import sys, layerdropback.lab; assert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr
    assert all(callable(getattr(lab, name)) for name in lab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = lab.Nothing


def test_all_that_is_needed_has_an_oldest_version():
    """`make test-oldest` takes it from there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    needs = [*project["dependencies"], *extras]
    assert not [need for need in needs if ">=" not in need and "layerdropback" not in need]


def test_what_make_runs_on_the_oldest_torch_exists():
    """A test that has moved would be left out in silence otherwise."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (listed,) = re.findall(r"^OLDEST_TESTS := (.*)$", text, re.M)
    names = listed.split()
    assert names
    assert not [name for name in names if not (ROOT / name).exists()]
