"""How long a user waits before anything happens: help, a wrong flag, and the import.

    python -m benchmarks start-up --out benchmarks/results/NAME

Whole processes, in turns. What the library adds to torch's import is a round's difference.
"""

import argparse
import subprocess
import sys
import time

from layerdropback.lab.tables import markdown_table

from ..common.card_files import page, write
from ..common.facts import facts_of, sentence
from ..common.flags import out
from ..common.timing import quartiles, rotated

HEAD = ("what", "milliseconds, median [quartiles]", "n")
LDB = "from layerdropback.cli.main import main; main()"
PROCESSES = {
    "python, nothing else": ["-c", ""],
    "ldb --help": ["-c", LDB, "--help"],
    "ldb train --help": ["-c", LDB, "train", "--help"],
    "ldb train --epocs 3, a wrong flag": ["-c", LDB, "train", "--epocs", "3"],
    "import torch": ["-c", "import torch"],
    "import torch, layerdropback": ["-c", "import torch, layerdropback"],
}


def milliseconds(arguments: list[str]) -> float:
    """Of one process, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return 1000 * (time.perf_counter() - start)


def measured(rounds: int) -> dict[str, list[float]]:
    """Every process in each round; the first round, with a cold disk, is left out."""
    found: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for number in range(1 + rounds):
        for name in rotated(list(PROCESSES), number):
            passed = milliseconds(PROCESSES[name])
            if number:
                found[name].append(passed)
    both, torch_alone = found["import torch, layerdropback"], found["import torch"]
    added = [mine - alone for mine, alone in zip(both, torch_alone, strict=True)]
    return found | {"layerdropback, after torch": added}


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)
    parser.add_argument("--rounds", type=int, default=15, help="of all processes in turns")


def run(args: argparse.Namespace) -> None:
    """Measure, print the card, and write it."""
    facts = facts_of()
    found = measured(args.rounds)
    rows = [[name, quartiles(values, ".0f"), str(len(values))] for name, values in found.items()]
    title = "Before anything happens"
    card = page(title, args.command, sentence(facts), markdown_table(HEAD, rows))
    print(card)
    write(args.out, card, {"command": args.command, "milliseconds": found, **facts})
