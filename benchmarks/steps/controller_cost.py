"""What the controller itself adds to a step: by layers, and of a ResNet-18's step.

Plain and attached steps take turns in one process, on a model of many one-weight layers.

    python -m benchmarks controller-cost --out benchmarks/results/NAME
"""

import argparse
import statistics
import time

import timm
import torch
from torch import nn

from layerdropback import Control, LayerDropBack, Uniform, find_layers
from layerdropback.lab.tables import markdown_table
from layerdropback.strategies.base import Strategy

from ..common.card_files import page, write
from ..common.facts import facts_of, sentence
from ..common.flags import out
from ..common.timing import quartiles

RATE = 0.5
LAYERS = (10, 100, 1000, 10_000)
FIRST = 100  # all modes are shown for so many
WORK = 5000  # layers times steps between two looks at the clock
RESNET_BATCH, RESNET_STEPS = 128, 6
HEAD = ("layers", "mode", "microseconds, median [quartiles]", "for each layer", "n")


class Chain:
    """A model of many one-weight layers, which is stepped plain and attached.

    Args:
        layers: how many.
    """

    def __init__(self, layers: int):
        self.model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(layers)))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-9)
        self._batch = torch.ones(1, 1)

    def step(self) -> None:
        """One, as it is."""
        self.model(self._batch).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def plain(self, steps: int) -> float:
        """Microseconds of a step."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - start) / steps * 1e6

    def attached(self, epoch: int, strategy: Strategy, steps: int) -> float:
        """Microseconds of a step of an epoch, once the order is recorded."""
        ldb = LayerDropBack(self.model, self.optimizer, strategy)
        with ldb.epoch(None, 0):
            self.step()
        with ldb.epoch(None, epoch):
            passed = self.plain(steps)
        ldb.detach()
        return passed


# Drop steps are those of `Control`: masks are drawn, and no saving hides the cost.
MODES: dict[str, tuple[int, Strategy]] = {
    "rate 0": (0, Uniform(0.0)),
    "full epoch": (2, Uniform(RATE)),
    "drop epoch, mask drawn, nothing dropped": (1, Control()),
}


def costs_of(layers: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds that the controller adds to a step; each difference is within one turn."""
    chain, steps = Chain(layers), max(2, WORK // layers)
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    chain.plain(steps)
    for _ in range(rounds):
        for mode, (epoch, strategy) in MODES.items():
            before = chain.plain(steps)
            with_it = chain.attached(epoch, strategy, steps)
            found[mode].append(with_it - (before + chain.plain(steps)) / 2)
    return found


def resnet_step() -> tuple[int, float]:
    """Layers of a ResNet-18, and microseconds of its step on CIFAR-10's images: the median."""
    model = timm.create_model("resnet18", num_classes=10).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    images, passed = torch.zeros(RESNET_BATCH, 3, 32, 32), []
    for _ in range(1 + RESNET_STEPS):
        start = time.perf_counter()
        model(images).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        passed.append((time.perf_counter() - start) * 1e6)
    return len(find_layers(model)), statistics.median(passed[1:])


def rows_of(costs: dict[int, dict[str, list[float]]]) -> list[list[str]]:
    """All modes for a hundred layers, the drop epoch's for the others."""
    last = list(MODES)[-1]
    chosen = [
        (layers, mode)
        for layers, found in costs.items()
        for mode in found
        if layers == FIRST or mode == last
    ]
    return [
        [
            f"{layers:,}",
            mode,
            quartiles(costs[layers][mode], ".1f"),
            f"{statistics.median(costs[layers][mode]) / layers:.2f}",
            str(len(costs[layers][mode])),
        ]
        for layers, mode in chosen
    ]


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)
    parser.add_argument("--rounds", type=int, default=40, help="a quarter of it for 10,000 layers")
    parser.add_argument("--layers", type=int, nargs="+", default=list(LAYERS))


def run(args: argparse.Namespace) -> None:
    """Measure everything, print the card, and write it."""
    facts = facts_of()
    costs = {
        layers: costs_of(layers, max(2, args.rounds // (4 if layers > 1000 else 1)))
        for layers in args.layers
    }
    layers, step = resnet_step()
    nearest = min(costs, key=lambda count: abs(count - layers))
    each = statistics.median(costs[nearest][list(MODES)[-1]]) / nearest
    share = 100 * each * layers / step
    card = page(
        "Cost of the controller",
        args.command,
        sentence(facts),
        "Microseconds added to a step of a chain of one-weight layers (attached minus plain, "
        "in turns):",
        markdown_table(HEAD, rows_of(costs)),
        f"A ResNet-18 has {layers} layers, and its step on {RESNET_BATCH} images of 32 pixels "
        f"takes {step / 1000:.0f} ms here: the controller is {share:.2f} % of it, at the {nearest} "
        "layers' cost for each.",
    )
    print(card)
    record = {"controller_us": costs, "resnet18": {"layers": layers, "step_us": step}}
    write(args.out, card, {"command": args.command, **record, **facts})
