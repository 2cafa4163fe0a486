"""What a shell is offered, asked as the shells' own scripts ask."""

import pytest

from layerdropback.lab.memory.arms import PRECISIONS
from layerdropback.lab.memory.optimizers import OPTIMIZERS
from layerdropback.lab.paper import EXPERIMENTS, SCALES
from layerdropback.training.dropping import FLAGS, strategies_with
from layerdropback.training.recipes import RECIPES


@pytest.fixture
def offered(run, monkeypatch):
    """What bash is offered for the last word of a line."""

    def ask(line):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_LDB_COMPLETE", "complete_bash")
        code, output, errors = run()
        assert (code, errors) == (0, "")
        return tuple(output.split())

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ldb train --strategy ", FLAGS["strategy"].choices),
        ("ldb train --strategy=t", ("truncate",)),
        ("ldb compare --lr 0.1 --strategy b", ("branch", "blocks")),
        ("ldb train --depth ", FLAGS["depth"].choices),
        ("ldb train --train-part ", FLAGS["train_part"].choices),
        ("ldb train --recipe ", tuple(RECIPES)),
        ("ldb train --device c", ("cpu", "cuda")),
        ("ldb sweep --strategies ", ("all", *strategies_with("drop_rate"))),
        ("ldb profile --strategies t", ("truncate",)),
        ("ldb memory --optimizer ", tuple(OPTIMIZERS)),
        ("ldb memory --precision ", tuple(PRECISIONS)),
        ("ldb paper ", tuple(EXPERIMENTS)),
        ("ldb paper figure1 --scale ", SCALES),
        ("ldb evaluate run --device ", ("auto", "cpu", "cuda")),
        ("ldb re", ("report",)),
        ("ldb train --warm", ("--warmup-epochs",)),
        ("ldb train --out ", ()),  # bash offers files then
    ],
)
def test_bash(offered, line, words):
    assert offered(line) == words


def test_zsh_and_fish(run, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "ldb train --strategy t")
    monkeypatch.setenv("_LDB_COMPLETE", "complete_zsh")
    assert '"truncate"' in run()[1]
    monkeypatch.setenv("_LDB_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert run()[1] == "truncate\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(run, monkeypatch, shell):
    monkeypatch.setenv("_LDB_COMPLETE", f"source_{shell}")
    code, output, errors = run()
    assert (code, errors) == (0, "")
    assert f"_LDB_COMPLETE=complete_{shell}" in output
