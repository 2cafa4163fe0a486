"""Where one model's step spends its time, and what each way of dropping would save of it."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ...errors import AttachError
from ...model.branches import ResidualBranch
from ...strategies.base import Strategy
from ..branches import find_branches
from ..calling import Loss
from .bench import Bench, Phases, time_phases
from .blocks import BlockCost, block_costs
from .saving import Saving, saving_of
from .trying import as_setting, label, tried


@dataclass
class Profile:
    """What was found, part by part; a part that is not there yet is empty.

    Attributes:
        name: the model's.
        parameters: how many.
        blocks: cost of each block.
        branches: the residual branches; none where the model has no skip connections.
        phases: a full step's.
        savings: of each strategy that this model can be trained with.
        refused: why it cannot be with others.
        about: the batch, the optimizer, the machine and so on, for a table's foot.
    """

    name: str
    parameters: int
    blocks: list[BlockCost] = field(default_factory=list)
    branches: list[ResidualBranch] = field(default_factory=list)
    phases: Phases | None = None
    savings: list[Saving] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def best(self) -> Saving | None:
        """The strategy that saves the most time, if any does so measurably.

        That is where three quarters of the pairs of steps were faster with it.
        """
        gains = [saving for saving in self.savings if saving.low > 0]
        return max(gains, key=lambda saving: saving.measured, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain values."""
        values = asdict(self)
        for saving, found in zip(self.savings, values["savings"], strict=True):
            found["setting"] = as_setting(saving.strategy)
            del found["strategy"]
        return values


def profile(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    optimizer: Callable[[nn.Module], Optimizer] | None = None,
    strategies: Sequence[Strategy] | None = None,
    pairs: int = 15,
    seed: int = 0,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Profile:
    """Profile a model of your own on a batch of your own; a copy is trained, not the model.

    Args:
        model: on its device.
        batch: what it is called with, on the same device: a tensor, a tuple of arguments, or a
            mapping of keyword arguments.
        loss: makes a scalar of the model's outputs; by default the sum of the first tensor in them.
        optimizer: makes one for a model; SGD with Nesterov momentum by default.
        strategies: the ways to drop; by default each that there is at several rates.
        pairs: of a full and a drop step, for each of them.
        seed: of the masks.
        autocast: makes a context for each forward pass.

    Returns:
        The profile; ``report.as_text()`` makes tables of it.

    Example:
        >>> import torch
        >>> model = nn.Sequential(*(nn.Linear(32, 32) for _ in range(8)))
        >>> found = profile(model, torch.ones(8, 32), pairs=3)
        >>> all(saving.ideal > 0 for saving in found.savings)
        True
    """
    model = copy.deepcopy(model)
    made = None if optimizer is None else optimizer(model)
    found = Profile(type(model).__name__, sum(p.numel() for p in model.parameters()))
    chosen = tried() if strategies is None else strategies
    fill(found, Bench(model, batch, loss, made, autocast), chosen, pairs, seed)
    return found


def fill(
    found: Profile,
    bench: Bench,
    strategies: Sequence[Strategy],
    pairs: int,
    seed: int = 0,
    *,
    compiled: Callable[[nn.Module], object] = lambda model: None,
    tell: Callable[[Profile], None] = lambda found: None,
) -> None:
    """Measure everything, part by part; see `profile`.

    Args:
        found: gets it.
        bench: whose model trains.
        strategies: the ways to drop.
        pairs: of steps, for each of them.
        seed: of the masks.
        compiled: compiles the model; its blocks are looked at before that, as hooks on compiled
            blocks do not run.
        tell: is called after each part.
    """
    found.blocks = block_costs(bench)
    with contextlib.suppress(AttachError):  # reported where a setting wants branches
        found.branches = list(find_branches(bench.model, bench.batch, bench.loss))
    tell(found)
    compiled(bench.model)
    found.phases = time_phases(bench, steps=max(5, pairs))
    tell(found)
    for strategy in strategies:
        try:
            found.savings.append(saving_of(strategy, bench, found.phases, pairs, seed))
        except AttachError as error:
            found.refused[label(strategy)] = " ".join(error.problems)
        tell(found)
