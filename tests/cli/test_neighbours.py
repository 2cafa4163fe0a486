"""A flag as timm, torchvision or Hugging Face name it: ours is named instead."""

import re
from pathlib import Path

import pytest
import typer

from layerdropback.cli.main import app
from layerdropback.cli.neighbours import NEIGHBOURS, ours

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
COMMANDS = typer.main.get_command(app).commands
NAMES = [(whose, name, flag) for whose, names in NEIGHBOURS for name, flag in names.items()]


@pytest.mark.parametrize(("whose", "name", "flag"), NAMES)
def test_every_name_leads_to_a_flag_and_is_none_itself(whose, name, flag):
    commands = list(COMMANDS.values())
    assert any(ours(name, command) == (whose, flag) for command in commands)
    assert "_" not in name, "the parser has made dashes of them"
    for param in (param for command in commands for param in command.params):
        assert name not in (*param.opts, *param.secondary_opts)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "--opt", "adamw"], "--opt. Cause: it is timm's name. Cure: give --optimizer."),
        (["sweep", "-b", "32"], "-b. Cause: it is timm's name. Cure: give --batch-size."),
        (["train", "--no-aug"], "--no-aug. Cause: it is timm's name. Cure: give --no-augment."),
        (
            ["train", "--drop", "0.1"],
            "Cure: give --model-args drop_rate=RATE; --drop-rate is no dropout.",
        ),
        (
            ["compare", "--learning_rate=0.1"],
            "--learning-rate. Cause: it is Hugging Face's name. Cure: give --lr.",
        ),
        (["train", "--random-erase", "0.1"], "Cause: it is torchvision's name. Cure: give --eras"),
        (["memory", "--gradient_checkpointing"], "Cure: give --checkpointing."),
    ],
)
def test_the_cure_names_ours(run, arguments, text):
    code, _, errors = run(*arguments)
    assert code == 2
    assert errors.startswith("ldb: error: No such option: -")
    assert errors.count("\n") == 1
    assert text in errors


def test_no_flag_is_named_that_the_command_lacks(run):
    errors = run("train", "--gradient-checkpointing")[2]
    assert "Hugging Face" not in errors
    assert "Cure: see ldb --help or ldb COMMAND --help." in errors
    assert "(Possible options: --compile, --optimizer)" in run("train", "--optimiser", "sgd")[2]


def test_underscores_are_dashes(run):
    assert "--weight-decay -1.0 is not usable" in run("train", "--weight_decay", "-1")[2]
    assert "--bn-eval all needs weights" in run("train", "--no_flip", "--bn_eval", "all")[2]
    assert run("paper", "figure1", "--dry_run")[0] == 0


def test_the_page_says_the_same():
    rows = re.findall(r"^\| (`[a-z][^|]*) \| `(--[^`]*)`", PAGE.read_text(), re.MULTILINE)
    assert len(rows) >= 15
    known = {name.lstrip("-"): flag.split()[0].strip(",;") for _, name, flag in NAMES}
    for names, flag in rows:
        for name in re.findall(r"`([^`]+)`", names):
            assert known[name.replace("_", "-")] == flag, name
