"""The page of all commands and flags, made from the parser's own objects; torch is not needed."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from layerdropback.cli.main import app

_HEAD = """# Commands and flags

Made from the parser's own objects: `ldb COMMAND --help` prints the same.
[The command line](command-line.md) says what the commands are for.

"""


def commands_page() -> str:
    """Every command with its arguments, its flags by group, and its examples."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = sorted(commands, key=lambda name: name != "train")  # else as they are in --help
    parts = ["\n".join(_section(name, commands[name])) for name in names]
    return _HEAD + "\n".join(parts)


def _section(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## ldb {name}\n\n{_cell(command.help or '')}\n"
    for group, rows in command.groups(context).items():
        shown = [(names, text) for names, text in rows if names != "--help"]
        if shown:
            yield f"### {group} of ldb {name}\n\n| flag | what it is |\n| --- | --- |"
            for names, text in shown:
                escaped = names.replace("|", "\\|")
                yield f"| `{escaped}` | {_cell(text)} |"
            yield ""
    yield "```bash"
    yield from (command.epilog or "").splitlines()
    yield "```\n"


def _cell(text: str) -> str:
    r"""Plain words, with nothing that a table or Markdown would take for its own.

    Example:
        >>> print(_cell("a|b *c*  [default: 1]"))
        a\|b \*c\* \[default: 1\]
    """
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))
