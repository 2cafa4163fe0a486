"""A line of ``ldb`` as somebody types it: that the parser takes it, and the settings are good."""

import shlex

import typer.main

from layerdropback.cli.main import app
from layerdropback.cli.options import layered
from layerdropback.lab.memory.arms import ARMS
from layerdropback.tasks.arms import make_arms
from layerdropback.training.config import TrainConfig, all_flags

COMMANDS = typer.main.get_command(app).commands


def check(line):
    """Parse a line without its program; an error says what is wrong with it."""
    name, *arguments = shlex.split(line, comments=True)
    given = COMMANDS[name].make_context(name, arguments).params
    if "recipe" in given and not given.get("task"):
        known = {"recipe", "config", *all_flags()}
        own = {"every"} if name == "sweep" else set()
        # The parser has () for a flag that can come often and did not; a command gets [].
        given |= {key: None for key, value in given.items() if value == ()}
        settings = layered({key: given[key] for key in given if key in known - own})
        config = TrainConfig.from_dict(settings)
        config.check()
        if name in ("compare", "sweep"):
            make_arms(config, given.get("arm") or [])
    assert set((given.get("arms") or "full").split(",")) <= ARMS.keys()
