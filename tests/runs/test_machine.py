"""What a record says of the code that was run."""

import subprocess

import pytest
import torch

from layerdropback.runs import machine


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository of which the library is said to be run: its folder, and what runs git there."""
    code = tmp_path / "src/layerdropback/runs/machine.py"
    card = tmp_path / "benchmarks/results/card.md"
    for file in (code, card):
        file.parent.mkdir(parents=True)
        file.write_text("one\n")

    def git(*arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", *author, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    monkeypatch.setattr(machine, "__file__", str(code))
    return code, card, git("describe", "--always").stdout.strip()


def commit():
    return machine.machine(torch.device("cpu"))["versions"].get("commit")


def test_a_commit_is_dirty_where_code_has_changed_and_not_where_a_card_has(checkout):
    code, card, name = checkout
    assert commit() == name
    card.write_text("two\n")
    assert commit() == name
    code.write_text("two\n")
    assert commit() == f"{name}-dirty"


def test_a_commit_of_which_git_cannot_tell_whether_code_has_changed_is_not_named(
    checkout, monkeypatch
):
    run = subprocess.run

    def cannot_compare(command, **more):
        return run(["git", "no-such-command"] if "diff" in command else command, **more)

    monkeypatch.setattr(machine.subprocess, "run", cannot_compare)
    assert commit() is None


def test_what_is_installed_elsewhere_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "a/b/c/machine.py"))
    assert commit() is None
