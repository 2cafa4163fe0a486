"""Each command's help: its flags under headings, and examples that work."""

import re

import pytest

from command_lines import COMMANDS, check
from layerdropback.cli import app as page
from layerdropback.cli.app import GROUPS, app
from layerdropback.cli.main import app as whole

EXAMPLES = [(name, line) for name in COMMANDS for line in COMMANDS[name].epilog.splitlines()]


def flags_of(name):
    return [param for param in COMMANDS[name].params if param.param_type_name == "option"]


def test_the_commands_are_those_of_the_app():
    assert app is whole
    assert {"train", "compare", "sweep", "profile", "memory", "report"} <= COMMANDS.keys()


def test_the_first_page_says_of_each_command_what_its_own_page_says(run):
    shown = " ".join(run("--help")[1].replace("-\n", "-").split())
    for name, text in page.COMMANDS.items():
        assert COMMANDS[name].help == text, name
        assert COMMANDS[name].name == name
        assert f"{name} {text}".replace("- ", "-") in shown.replace("- ", "-"), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_a_group_and_is_shown_under_it(name, run):
    page = run(name, "--help")[1]
    sections = dict(re.findall(r"^(\w+):\n((?:  .*\n|\n(?=  ))+)", page, re.MULTILINE))
    headings = [heading for heading in sections if heading in GROUPS]
    assert headings == [group for group in GROUPS if group in headings]
    for flag in flags_of(name):
        assert flag.rich_help_panel in GROUPS, flag.name
        shown = re.findall(r"^  (--[\w-]+)", sections[flag.rich_help_panel], re.MULTILINE)
        assert flag.opts[0] in shown, flag.name
    assert sections["Options"].split()[0] == "--help"


def test_a_flag_of_several_commands_is_in_one_group():
    groups = {}
    for name in COMMANDS:
        for flag in flags_of(name):
            groups.setdefault(flag.name, {})[name] = flag.rich_help_panel
    groups["scale"].pop("paper")  # of the experiment; that of the others is of an image's crop
    assert all(len(set(found.values())) == 1 for found in groups.values())


def test_a_page_ends_with_two_to_four_examples(run):
    for name, command in COMMANDS.items():
        lines = command.epilog.splitlines()
        assert 2 <= len(lines) <= 4, name
        end = "".join(f"  {line}\n" for line in lines)
        assert run(name, "--help")[1].endswith(f"\nExamples:\n{end}"), name


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_a_command_that_the_parser_takes(name, line):
    assert line.split()[:2] == ["ldb", name]
    check(line.removeprefix("ldb "))
