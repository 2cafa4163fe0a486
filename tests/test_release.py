"""What a release consists of agrees: one version, a workflow of commands that exist, templates."""

import re
import tomllib

import pytest
import yaml

import audit
import contents
import layerdropback
import smoke
from docs_pages import ROOT, text_of

PROJECT = tomllib.loads(text_of("pyproject.toml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))


def test_there_is_one_version():
    assert PROJECT["project"]["dynamic"] == ["version"]
    path = PROJECT["tool"]["hatch"]["version"]["path"]
    version = layerdropback.__version__
    assert re.findall(r'^__version__ = "(.*)"$', text_of(path), re.MULTILINE) == [version]
    assert yaml.safe_load(text_of("CITATION.cff"))["version"] == version
    heading = re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)[0]
    assert heading == version


def commands_of(job):
    """The lines that a job runs, one for each value of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        line = step.get("run", "")
        named = re.findall(r"\$\{\{ matrix\.(\w+) \}\}", line)
        values = matrix[named[0]] if named else [""]
        yield from (re.sub(r"\$\{\{.*?\}\}", str(value), line) for value in values if line)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_make_with_targets_that_it_has(path):
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    lines = [line for job in jobs.values() for line in commands_of(job)]
    assert lines
    for line in lines:
        program, *targets = line.split()
        assert program == "make"
        assert targets
        assert set(targets) <= TARGETS, line


def test_the_workflow_begins_with_the_oldest_python():
    jobs = yaml.safe_load(WORKFLOWS[0].read_text("utf-8"))["jobs"]
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    for name in ("test", "release"):
        pythons = jobs[name]["strategy"]["matrix"]["python"]
        assert pythons[0] == oldest
        assert pythons[-1] == jobs["test"]["strategy"]["matrix"]["python"][-1]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_what_contributors_are_told_exists(page):
    for name in re.findall(
        r"`make ([a-z -]+)`|^    make ([a-z -]+?)(?: {2,}|$)", text_of(page), re.M
    ):
        assert set("".join(name).split()) <= TARGETS, name
    for name in re.findall(r"`((?:src|tests)/[\w/.]+)`", text_of(page)):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\(([^)#]+)", text_of(page)):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_asks_something(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": True}
        return
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    labels = [part["attributes"]["label"] for part in asked]
    assert len(labels) == len(set(labels)) >= 3
    assert any(part.get("validations", {}).get("required") for part in asked)
    assert {part["type"] for part in form["body"]} <= {"input", "textarea", "markdown"}


def test_what_belongs_into_a_release_is_known():
    """What `make dist` says of the files that it finds."""
    files = {f"layerdropback/{name}": 1 for name in contents.package_files()}
    good = files | {"layerdropback-1.dist-info/METADATA": 1}
    assert contents.problems(good, "layerdropback/", contents.is_metadata) == []
    del good["layerdropback/py.typed"]
    bad = good | {"layerdropback/data.csv": 1, "benchmarks/a.json.gz": 1}
    assert contents.problems(bad, "layerdropback/", contents.is_metadata) == [
        "is missing: py.typed",
        "does not belong there: layerdropback/data.csv",
        "does not belong there: benchmarks/a.json.gz",
    ]
    only = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert {name for name in only if name != "src"} < contents.BESIDE


def test_what_could_not_be_audited_is_a_fault():
    vulnerable = {"id": "X-1", "fix_versions": ["2"]}
    packages = [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "layerdropback", "skip_reason": "not found"},
        {"name": "unknown", "skip_reason": "not found"},
        {"name": "bad", "version": "1", "vulns": [vulnerable, vulnerable | {"fix_versions": []}]},
    ]
    assert list(audit.faults({"dependencies": packages})) == [
        "unknown could not be looked up: not found",
        "bad 1: X-1, mended in 2",
        "bad 1: X-1, mended in no release",
    ]


def test_the_readme_has_the_example_that_is_tried():
    assert len(re.findall(r"^```python\n", text_of("README.md"), re.MULTILINE)) == 1
    assert smoke.RIGHT != smoke.WRONG
