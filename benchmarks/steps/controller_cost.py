"""What the controller itself adds to a step, in microseconds.

Plain and attached steps take turns in one process.

    python -m benchmarks controller-cost --out benchmarks/results/NAME
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from layerdropback import Control, LayerDropBack, Uniform
from layerdropback.lab.tables import markdown_table
from layerdropback.strategies.base import Strategy

from ..common.card_files import page, write
from ..common.facts import facts_of, sentence
from ..common.flags import out
from ..common.timing import quartiles

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


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)


def run(args: argparse.Namespace) -> None:
    """Measure everything, print the card, and write it."""
    facts = facts_of()
    costs = controller_cost()
    rows = [[mode, quartiles(values, ".2f")] for mode, values in costs.items()]
    card = page(
        "Cost of the controller",
        args.command,
        sentence(facts),
        "Microseconds per step, for a model of 100 layers (attached minus plain, taking turns, "
        f"n = {len(costs['rate 0'])}):",
        markdown_table(("mode", "median [quartiles]"), rows),
    )
    print(card)
    write(args.out, card, {"command": args.command, "controller_us": costs, **facts})
