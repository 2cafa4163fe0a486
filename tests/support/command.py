"""The command line, run inside the tests' own process."""

import json
import signal
import sys
from functools import cache

import pytest
import torch
import typer.main

from layerdropback.__main__ import main
from layerdropback.training.metrics import Tally

TINY = ["--model", "test_resnet", "--limit-train", "64", "--limit-test", "20", "--batch-size", "16"]

# A process of a user makes the parser once; the tests' process calls it some hundred times.
made_once = cache(typer.main.get_command)


def ldb(*arguments, capsys, monkeypatch):
    """Run the command line in this process: exit code, output, error output."""
    monkeypatch.setattr(sys, "argv", ["ldb", *map(str, arguments)])
    monkeypatch.setattr(typer.main, "get_command", made_once)
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as exit_:
        main()
    torch.set_num_threads(threads)
    output = capsys.readouterr()
    return exit_.value.code, output.out, output.err


def metrics_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def stop_after(patch, steps, number=signal.SIGTERM):
    """Send a signal to this process when so many steps are done."""
    add, calls = Tally.add, 0

    def counted(tally, *arguments):
        nonlocal calls
        calls += 1
        if calls == steps:
            signal.raise_signal(number)
        return add(tally, *arguments)

    patch.setattr(Tally, "add", counted)
