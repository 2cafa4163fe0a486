"""Every line of ``ldb`` in a block of any page is one that the command line takes."""

import re

import pytest

from command_lines import COMMANDS, check
from docs_pages import PAGES, ROOT, commands_of, text_of

LINES = [(page, line) for page in PAGES for line in commands_of(page)]

# `...` stands for more flags.
MORE = re.compile(r"(?<= )\.\.\.(?=\s|$)")


@pytest.mark.parametrize(("page", "line"), LINES)
def test_the_parser_takes_it(page, line, monkeypatch):
    monkeypatch.chdir(ROOT)  # where the settings of the examples are
    check(MORE.sub("", line).replace("my.yaml", "examples/cifar10-cpu.yaml"))


def test_all_commands_are_on_the_pages():
    assert {line.split()[0] for _, line in LINES} == COMMANDS.keys()
    assert len(LINES) >= 40


def test_what_is_wrong_is_found():
    with pytest.raises(Exception, match="No such option"):
        check("train --optt adamw")
    with pytest.raises(Exception, match="colour"):
        check("compare --arm colour=red")
    with pytest.raises(KeyError):
        check("trian")


def test_make_is_given_targets_that_it_has():
    targets = re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE)
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)`", text_of(page))) <= {*targets}
        assert set(re.findall(r"^    make ([a-z-]+)", text_of(page), re.MULTILINE)) <= {*targets}
