"""The controller's work grows with the layers, and no faster.

Counted are the lines of the package that run, not seconds: a loop over all layers for each layer
shows at a hundred of them, on any machine.
"""

import copy
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import layerdropback
from layerdropback import Blocks, Control, LayerDropBack, Schedule, Truncate, Uniform
from layerdropback.model.order import Order

OURS = str(Path(layerdropback.__file__).parent)
FEW, MANY = 20, 80


class Lines:
    """Counts the lines of the package that run while it is entered, by where they are."""

    def __init__(self):
        self.of = Counter()

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self.of

    def __exit__(self, *error):
        sys.settrace(self._before)

    def _called(self, frame, event, argument):
        return self._ran if frame.f_code.co_filename.startswith(OURS) else None

    def _ran(self, frame, event, argument):
        if event == "line":
            self.of[f"{frame.f_code.co_filename[len(OURS) + 1 :]}:{frame.f_lineno}"] += 1
        return self._ran


class Residual(nn.Module):
    """A block with a way around its one layer."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return x + self.inner(x)


def chain(blocks):
    return nn.Sequential(nn.Linear(2, 2), *(Residual() for _ in range(blocks)), nn.Linear(2, 2))


def lines_of(blocks, strategy, schedule):
    """Lines that run in all that a user does with a controller, by what it is."""
    model, found = chain(blocks), {}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step():
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    with Lines() as found["attach"]:
        ldb = LayerDropBack(model, optimizer, strategy, schedule)
    with Lines() as found["the recorded step"], ldb.epoch(None, 0):
        step()
    with Lines() as found["two drop steps"], ldb.epoch(None, 1):
        step()
        step()
    with Lines() as found["summary and stats"]:
        ldb.summary()
        ldb.stats()
    with Lines() as found["state"]:
        ldb.load_state_dict(copy.deepcopy(ldb.state_dict()))
    with Lines() as found["detach"]:
        ldb.detach()
    return found


STRATEGIES = {
    "uniform": Uniform(0.5),
    "uniform tensor": Uniform(0.5, unit="tensor"),
    "uniform block": Uniform(0.5, unit="block"),
    "truncate": Truncate(0.5),
    "truncate uniform": Truncate(0.5, depth="uniform", unit="tensor"),
    "blocks": Blocks(2),
    "control": Control(),
}


# The others walk the same ways.
QUICK = ("uniform", "uniform block", "truncate uniform", "blocks")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in STRATEGIES],
)
def test_four_times_the_layers_are_four_times_the_work(name):
    strategy = STRATEGIES[name]
    schedule = Schedule(start=0, every=1, steps=2) if name == "blocks" else Schedule()
    lines_of(3, strategy, schedule)  # what is imported or made once
    few, many = (lines_of(blocks, strategy, schedule) for blocks in (FEW, MANY))
    for what, lines in many.items():
        ratio = sum(lines.values()) / max(1, sum(few[what].values()))
        most = lines.most_common(3)
        assert ratio < 1.25 * MANY / FEW, (what, most)  # masks differ, too


def test_the_ruler_sees_a_loop_in_a_loop():
    """`Order` of a tied parameter's early use looks at all parameters: nobody has many of these."""
    from layerdropback.model.order import first_use

    def lines(count):
        model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(count)))
        names = [name for name, _ in model.named_parameters()]
        ranks = {name: rank for rank, name in enumerate(names)}
        order = Order(ranks, ranks)
        layers = layerdropback.find_layers(model)
        with Lines() as found:
            for layer in layers:
                first_use(layer, order, early=names)
        return sum(found.values())

    assert lines(80) > 10 * lines(20)


def test_an_order_takes_in_a_newer_one_in_one_walk():
    names = [f"{i}.weight" for i in range(2000)]
    ranks = {name: rank for rank, name in enumerate(names)}
    newer = {name: rank for rank, name in enumerate(names[::2])}
    with Lines() as found:
        merged = Order(ranks, ranks).updated(Order(newer, newer))
    assert list(merged.first) == names
    assert sum(found.values()) < 20 * len(names)
