"""How much memory a training step takes: predicted without weights and GPU, or counted."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from ...controller import LayerDropBack
from ...model.graph import output_tensors
from ...schedule import Schedule
from ...strategies import Strategy, strategy_of
from ...strategies.odds import Mask
from ..calling import Loss
from .fakes import FakeLedger, fake_twin, like_cuda, on_meta, without_data
from .ledger import Ledger
from .steps import Counted, Work, make_states_of_all_turns, orderly, own_loss, step
from .worst import By, worst_of

# The allocator and kernels that are taken for granted, and to what sizes are rounded up.
Device = Literal["cuda", "cpu"]
BLOCKS = {"cuda": 512, "cpu": 1}

MakeModel = Callable[[], nn.Module]
MakeOptimizer = Callable[[nn.Module], Optimizer]
MakeBatch = Callable[[], Any]


@dataclass(frozen=True)
class Prediction:
    """The memory of one training step, in bytes.

    Attributes:
        peak: the most that live at any moment.
        phase: in which that is: ``"forward"``, ``"backward"`` or ``"step"``.
        op: the operation after which it is.
        kinds: what lives at the peak, see `KINDS`.
        phases: the peak of each phase.
        saved: what the forward pass leaves for the backward pass, the loss with it.
        parameters: how many numbers the model has.
        trained: how many of them get a gradient.
        first: peak of the run's first step, whose passes are full; None without a strategy.
    """

    peak: int
    phase: str
    op: str
    kinds: Mapping[str, int]
    phases: Mapping[str, int]
    saved: int
    parameters: int
    trained: int
    first: int | None = None

    @property
    def run(self) -> int:
        """What the run needs: the peak, or the first step's."""
        return max(self.peak, self.first or 0)

    @property
    def gib(self) -> float:
        """The peak in 2**30 bytes, as GPUs' memory is mostly given."""
        return self.peak / 2**30

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Plan:
    """All that a prediction and a count have in common."""

    make_optimizer: MakeOptimizer
    make_batch: MakeBatch
    strategy: Strategy | None
    schedule: Schedule | None
    loss: Loss
    autocast: torch.dtype | None

    def run(self, ledger: Ledger, model: nn.Module, by: By, chosen: dict[By, Mask]) -> Prediction:
        """Train two steps, and say what the second one takes."""
        model.train()
        with orderly(), ledger:
            ledger.assign_model(model)
            optimizer, batch = self.make_optimizer(model), self.make_batch()
            ledger.assign(output_tensors(batch), "batch")
            work = Work(model, optimizer, batch, self.loss, self.autocast)
            if self.strategy is None:
                first, counted = None, _second(ledger, work)[1]
            else:
                schedule = replace(self.schedule or Schedule(), every=1, start=0)
                worst = worst_of(self.strategy, _positions(schedule), by, chosen)
                ldb = LayerDropBack(model, optimizer, worst, schedule)
                with ldb.epoch(None, 0):
                    first, counted = _second(ledger, work, ldb)
                ldb.detach()
        return _prediction(ledger, model, counted, first)

    def worst(self, run: Callable[[By, dict[By, Mask]], Prediction]) -> Prediction:
        """The highest peak of what may be the worst masks."""
        chosen: dict[By, Mask] = {}
        found = [run("depth", chosen)]
        if chosen and not np.array_equal(chosen["depth"], chosen["parameters"]):
            found.append(run("parameters", chosen))
        return max(found, key=lambda one: one.peak)


def predict_memory(
    make_model: MakeModel,
    make_optimizer: MakeOptimizer,
    make_batch: MakeBatch,
    strategy: Strategy | str | None = None,
    schedule: Schedule | None = None,
    *,
    loss: Loss | None = None,
    autocast: torch.dtype | None = None,
    device: Device = "cuda",
) -> Prediction:
    """Predict the memory of a training step, without weights, data and GPU.

    The model is made on the ``meta`` device, and two steps are made with tensors that have no
    data. With a strategy the second one has the worst mask that the strategy may draw.

    Args:
        make_model: returns the model as it is trained: its types, what is frozen in it, with
            gradient checkpointing if that is wanted.
        make_optimizer: of the model that it is given. On a GPU AdamW is ``foreach=True`` unless it
            is told otherwise; here, say so.
        make_batch: returns what the model is called with: a tensor, a tuple of arguments, or a
            mapping of keyword arguments.
        strategy: what drops layers, by default nothing. Of `Blocks` that keep the states of what
            rests a late step is predicted: all have had their turn.
        schedule: of the strategy; the worst step of its ramp counts.
        loss: makes a scalar of the model's outputs; by default their own ``loss``, or their sum.
        autocast: type of the forward pass under ``torch.autocast``.
        device: ``"cuda"``: sizes are rounded up as CUDA's allocator does, and dropout keeps what
            its kernels keep; ``"cpu"``: bytes as they are.

    Returns:
        What the second step takes; a step of a full epoch is predicted without a strategy.

    Raises:
        UsageError: shapes of this model depend on numbers.
        AttachError: see `LayerDropBack`.

    Example:
        >>> found = predict_memory(
        ...     lambda: nn.Linear(1000, 1000, bias=False),
        ...     lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        ...     lambda: torch.ones(1, 1000),
        ...     device="cpu",
        ... )
        >>> found.kinds["parameters"], found.kinds["gradients"], found.kinds["states"]
        (4000000, 4000000, 4000000)
    """
    given = make_optimizer, make_batch, _strategy(strategy), schedule
    plan = _Plan(*given, loss or own_loss, autocast)

    def run(by: By, chosen: dict[By, Mask]) -> Prediction:
        model = on_meta(make_model)
        kernels = like_cuda() if device == "cuda" else nullcontext()
        with without_data(), kernels:
            return plan.run(FakeLedger(BLOCKS[device]), fake_twin(model), by, chosen)

    return plan.worst(run)


def count_memory(
    make_model: MakeModel,
    make_optimizer: MakeOptimizer,
    make_batch: MakeBatch,
    strategy: Strategy | str | None = None,
    schedule: Schedule | None = None,
    *,
    loss: Loss | None = None,
    autocast: torch.dtype | None = None,
) -> Prediction:
    """Count what `predict_memory` predicts for ``device="cpu"``, on two real steps.

    Args:
        make_model: see `predict_memory`, as are all the others.
        make_optimizer: makes the optimizer.
        make_batch: makes the batch.
        strategy: None: plain training.
        schedule: of the strategy.
        loss: of the outputs.
        autocast: type of the forward pass.

    Returns:
        What was counted in the second step.

    Raises:
        AttachError: see `LayerDropBack`.

    Example:
        >>> found = count_memory(
        ...     lambda: nn.Linear(1000, 1000, bias=False),
        ...     lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        ...     lambda: torch.ones(1, 1000),
        ... )
        >>> found.kinds["batch"], found.phases["step"]
        (4000, 8004004)
    """
    given = make_optimizer, make_batch, _strategy(strategy), schedule
    plan = _Plan(*given, loss or own_loss, autocast)

    def run(by: By, chosen: dict[By, Mask]) -> Prediction:
        return plan.run(Ledger(), make_model(), by, chosen)

    return plan.worst(run)


def _strategy(given: Strategy | str | None) -> Strategy | None:
    return None if given is None else strategy_of(given)


def _second(ledger: Ledger, work: Work, ldb: LayerDropBack | None = None) -> tuple[int, Counted]:
    """Two steps; the first one's peak, and what the second one has shown."""
    step(ledger, work)
    first = ledger.peak().bytes
    if ldb is not None:
        make_states_of_all_turns(ldb)
        ledger.assign_states(work.optimizer)
    ledger.restart()
    return first, step(ledger, work)


def _positions(schedule: Schedule) -> tuple[float, ...]:
    """Where on its ramp a drop rate may be."""
    return (0.5,) if schedule.ramp == "constant" else (0.0, 0.5, 1.0)


def _prediction(
    ledger: Ledger, model: nn.Module, counted: Counted, first: int | None
) -> Prediction:
    peak, phases = ledger.peak(), ("forward", "backward", "step")
    return Prediction(
        peak=peak.bytes,
        phase=peak.phase,
        op=peak.op,
        kinds=peak.kinds,
        phases={name: ledger.peak(name).bytes for name in phases},
        saved=counted.saved,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trained=counted.trained,
        first=first,
    )
