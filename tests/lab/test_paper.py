"""The paper's experiments are commands that the tool takes, and the tiny ones run."""

import shlex
from pathlib import Path

import pytest

from layerdropback import UsageError
from layerdropback.lab.paper import EXPERIMENTS, commands


@pytest.mark.parametrize("scale", ["full", "tiny"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_commands_are_told_and_not_run(run, tmp_path, name, scale):
    code, output, errors = run("paper", name, "--scale", scale, "--dry-run", "--threads", "1")
    assert (code, errors) == (0, "")
    assert not list(tmp_path.iterdir())
    said = [line[2:] for line in output.splitlines() if line.startswith("$ ")]
    folder = Path(f"runs/paper-{name}{'-tiny' if scale == 'tiny' else ''}")
    made = commands(name, scale, folder, ["--threads", "1"])
    assert said == ["ldb " + shlex.join(command) for command in made]
    assert all("--threads" in command for command in made if command[0] != "report")
    outs = [command[command.index("--out") + 1] for command in made]
    assert len(set(outs)) == len(outs)  # nothing is written over


def test_the_papers_settings_are_the_recipes():
    for name, recipe in (("scratch", "paper-scratch"), ("finetune", "paper-finetune")):
        made = commands(name, "full", Path("out"))
        comparisons = [command for command in made if command[0] == "compare"]
        assert len(comparisons) == 12  # six families, two data sets
        assert all(command[command.index("--recipe") + 1] == recipe for command in comparisons)
        assert made[-1][0] == "report"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure2"], "figure2 is unknown. Cause: no such experiment is known. Cure: give one of"),
        (["figure1", "--scale", "huge"], "--scale huge is not usable. Cause: it is one of full, "),
        (["figure1", "--scale", "tiny", "--no-such-flag"], "no-such-flag"),
        (["figure4", "--data", "nothing"], "--data nothing is unknown"),
    ],
)
def test_bad_input_is_one_line(run, arguments, words):
    code, _, errors = run("paper", *arguments)
    assert code == 2
    assert errors.count("\n") == 1
    assert words in errors


def test_no_scale_is_made_up():
    with pytest.raises(UsageError, match="--scale small is not usable"):
        commands("figure1", "small", Path("out"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_tiny_experiment_runs_to_its_end_and_again(run, tmp_path, short_pilot, name):
    code, output, errors = run("paper", name, "--scale", "tiny", "--threads", "1")
    assert (code, errors) == (0, "")
    folder = tmp_path / f"runs/paper-{name}-tiny"
    pages = list(folder.rglob("*.html"))
    assert pages
    assert "the paper shows" in output
    if name != "figure1":  # a profile is always made anew
        assert run("paper", name, "--scale", "tiny", "--threads", "1")[0] == 0
