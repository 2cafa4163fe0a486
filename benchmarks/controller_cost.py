"""What the controller itself adds to a step, in microseconds.

Plain and attached steps take turns in one process. Writes a card (see `card.py`).

    python benchmarks/controller_cost.py --out benchmarks/results/NAME
"""

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from card import write as write_card
from torch import nn

from layerdropback import Control, LayerDropBack, Uniform
from layerdropback.runs.machine import machine
from layerdropback.strategies.base import Strategy

RATE = 0.5


def controller_cost(rounds: int = 60, steps: int = 50, layers: int = 100) -> dict[str, list[float]]:
    """Microseconds that the controller adds to a step of a model of many one-weight layers.

    Blocks of plain and attached steps take turns; each difference is within one turn. Drop steps
    are those of `Control`: masks are drawn, and no saving hides the cost.
    """
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(layers)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    batch = torch.ones(1, 1)

    def block() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            model(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return (time.perf_counter() - start) / steps * 1e6

    def attached(epoch: int, strategy: Strategy) -> Callable[[], float]:
        def measured() -> float:
            ldb = LayerDropBack(model, optimizer, strategy)
            with ldb.epoch(None, 0):  # the order is recorded
                model(batch).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
            with ldb.epoch(None, epoch):
                result = block()
            ldb.detach()
            return result

        return measured

    modes = {
        "rate 0": attached(0, Uniform(0.0)),
        "full epoch": attached(2, Uniform(RATE)),
        "drop epoch, mask drawn, nothing dropped": attached(1, Control()),
    }
    costs: dict[str, list[float]] = {mode: [] for mode in modes}
    block()
    for _ in range(rounds):
        for mode, measured in modes.items():
            before = block()
            with_it = measured()
            costs[mode].append(with_it - (before + block()) / 2)
    return costs


def quartiles(values: list[float]) -> str:
    """Median with the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure everything, print the card, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring
    facts = machine(torch.device("cpu"))  # before: this is the code that is measured
    costs = controller_cost()
    hardware, versions = facts["hardware"], facts["versions"]
    command = shlex.join(["python", *sys.argv])
    card = [
        f"# Cost of the controller, {date.today()}",
        "",
        f"Command: `{command}`",
        "",
        f"{hardware['device']}, {hardware['threads']} CPU threads; torch {versions['torch']}, "
        f"layerdropback {versions['layerdropback']}, commit "
        f"{versions.get('commit', 'unknown')}.",
        "",
        "Microseconds per step, for a model of 100 layers (attached minus plain, taking turns, "
        f"n = {len(costs['rate 0'])}):",
        "",
        "| mode | median [quartiles] |",
        "| --- | --- |",
        *(f"| {mode} | {quartiles(values)} |" for mode, values in costs.items()),
        "",
    ]
    print("\n".join(card))
    numbers = {"command": command, "controller_us": costs, **facts}
    write_card(arguments.out, "\n".join(card), numbers)


if __name__ == "__main__":
    main()
