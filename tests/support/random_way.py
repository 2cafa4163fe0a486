"""Random ways to train a network: strategy, schedule, loop, and what the user does meanwhile."""

import random
from dataclasses import dataclass, replace

import torch

from layerdropback import Blocks, Branch, Control, Schedule, Truncate, Uniform


@dataclass(frozen=True)
class Way:
    """How a network is trained, and what happens on the way.

    Attributes:
        strategy: and the settings after it are the controller's.
        epochs: how many, of so many `batches` each.
        accumulate: so many batches make a step.
        carries: gradients wait for their step over the end of an epoch; else they are let go.
        calls: of the model for each batch; with `chained` the second takes what the first gave.
        each: a backward pass for each call.
        wants: the chance of an input to require a gradient.
        toggles: the chance of a step that the user freezes or thaws something before it.
        zeroes: when gradients are zeroed, and how.
        loop: which form the epoch has.
        optimizers: a letter for each.
        saved: the batch before which the run is saved.
        copied: the batch in whose passes the model is copied.
        broken: the batch before which a call of the model fails.
        judged: the batch before which the model is called without gradients.
        opens: the batch from which on a late part takes part.
        stops: how the controller goes in the end.
    """

    strategy: object
    schedule: Schedule
    lr_scale: float | str
    seed: int
    verify: bool
    epochs: int
    batches: int
    accumulate: int
    carries: bool
    calls: int
    chained: bool
    each: bool
    wants: float
    toggles: float
    zeroes: str
    loop: str
    optimizers: str
    saved: int
    copied: int
    broken: int
    judged: int
    opens: int
    stops: str


OPTIMIZERS = {
    "s": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=1e-2),
    "n": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True),
    "a": lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
    "r": lambda params: torch.optim.RMSprop(params, lr=0.01, momentum=0.5),
    "f": lambda params: torch.optim.AdamW(params, lr=0.01, foreach=True),
}

_DROPPING = ("uniform", "truncate", "truncate", "branch", "branch", "blocks")


_ALL = (*_DROPPING, *_DROPPING, "control", "off")


def random_strategy(chance, names=_ALL):
    kind = chance.choice(names)
    unit = chance.choice(("layer", "layer", "tensor", "block"))
    pool = chance.choice((None, None, None, 2, 5))
    rate = chance.choice((0.2, 0.5, 0.5, 0.9))
    keep = chance.choice(((), (), (), ("head0",), ("*bias",)))
    if kind == "uniform":
        rates = chance.choice((None, None, {"*weight": 0.9, "head*": 0.3}))
        return Uniform(rate, unit=unit, keep=keep, rates=rates, pool=pool)
    if kind == "truncate":
        depth = chance.choice(("fixed", "uniform", "power"))
        share = chance.choice((0.05, 0.2, 0.2, 0.4, 0.6))
        return Truncate(share, depth, unit=unit, pool=pool)
    if kind == "branch":
        return Branch(rate, unit=unit, pool=pool)
    if kind == "blocks":
        parts = chance.choice((("head", "norm"), ("head",), ("embedding", "head", "norm"), ()))
        order = chance.choice(("random", "cyclic", "fixed"))
        state = chance.choice(("offload", "release", "keep"))
        unit = chance.choice(("block", "layer", "layer", "tensor"))
        return Blocks(chance.choice((1, 1, 2)), order, parts, state, unit=unit)
    if kind == "control":
        return Control(unit=unit)
    return chance.choice((Uniform(0, unit=unit), Truncate(0), Branch(0)))


def random_schedule(chance, strategy, steps, epochs):
    """For a run of so many steps, in so many epochs."""
    every, start = chance.choice((*[(1, 0)] * 4, (1, 1), (2, 0), (2, 1), (None, None)))
    periods = chance.choice((None, None, None, 2, 3))
    length = steps if periods else epochs
    ramps = ("constant", "constant", "rising", "falling")
    ramp = chance.choice(ramps) if strategy.has_rate else "constant"
    anneal = chance.choice((0.0, 0.0, 0.0, 0.4))
    return Schedule(every, start, periods, ramp, anneal, length if ramp or anneal else None)


def random_way(seed, network):
    """The way of a seed; a simple one where FLOPs are to be counted."""
    chance = random.Random(f"way {seed}")
    simple = network.counts and chance.random() < 0.7
    strategy = random_strategy(chance, ("truncate", "branch") if simple else _ALL)
    epochs, batches = chance.randint(2, 3), chance.randint(3, 5)
    accumulate = chance.choice((1, 1, 1, 2, 3))
    steps = max(1, epochs * batches // accumulate)
    calls = chance.choice((1, 1, 1, 2))
    chained = calls == 2 and network.trunk is not None and chance.random() < 0.5
    somewhere = epochs * batches + 4  # some come never
    inverse = "inverse" if strategy.has_rate else 2.0
    way = Way(
        strategy=strategy,
        schedule=random_schedule(chance, strategy, steps, epochs),
        lr_scale=chance.choice((1.0, 1.0, 2.0, inverse)),
        seed=chance.randrange(2**64),
        verify=chance.random() < 0.7,
        epochs=epochs,
        batches=batches,
        accumulate=accumulate,
        carries=chance.random() < 0.5,
        calls=calls,
        chained=chained,
        each=not chained and chance.random() < 0.5,
        wants=chance.choice((0, 0, 0, 0.3, 1)),
        # A flag may change whose turn it is, when states and gradients of what rests have gone.
        toggles=chance.choice((0, 0, 0.3, 0.6)) * (strategy.resting != "release"),
        zeroes=chance.choice(
            ("after", "after", "before", "numbers" if strategy.resting is None else "after")
        ),
        loop=chance.choice(("for", "with", "begin")),
        optimizers=chance.choice(("s", "s", "a", "n", "r", "f", "sa", "aa")),
        saved=chance.randrange(1, somewhere),
        copied=chance.randrange(1, somewhere),
        broken=chance.randrange(1, 2 * somewhere),
        judged=chance.randrange(1, somewhere),
        opens=chance.randrange(1, somewhere),
        stops=chance.choice(("detach", "detach", "garbage")),
    )
    if simple:
        return replace(way, accumulate=1, calls=1, chained=False, wants=0, toggles=0)
    return way
