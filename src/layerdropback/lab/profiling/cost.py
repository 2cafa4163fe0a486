"""What a step costs, and what a setting saves of it, counted before anything is trained.

FLOPs come from `torch.utils.flop_counter`, corrected, on a copy of the model that has shapes and no
data, with the library's own masks: so they hold for every strategy, unit and rate without a formula
for each.
"""

import copy
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...controller import LayerDropBack
from ...model.backward import BackwardCosts
from ...model.flops import ForwardFlops
from ...model.graph import edges, first_uses, graph_roots, output_tensors
from ...model.layers import find_layers
from ...model.nested import map_tensors
from ...schedule import Schedule
from ...strategies.base import Strategy
from ..calling import Loss, call, summed
from .corrections import corrections


class Trial:
    """A copy of a model and a batch, without data where that is possible.

    Its arguments are those of `step_costs`.

    Example:
        >>> Trial(nn.Linear(2, 2), torch.ones(1, 2), None).forward().device
        device(type='meta')
    """

    def __init__(self, model: nn.Module, batch: Any, loss: Loss | None):
        self.loss = loss or summed
        self.model = _without_data(model).train()
        self.batch = map_tensors(lambda tensor: tensor.detach().to("meta"), batch)
        try:
            self.forward()
        except RuntimeError:
            # A loss that holds labels of its own, or a forward pass that looks at numbers.
            self.model = copy.deepcopy(model).train()
            self.batch = map_tensors(Tensor.detach, batch)

    def forward(self) -> Tensor:
        """The loss."""
        return self.loss(call(self.model, self.batch))


def _without_data(model: nn.Module) -> nn.Module:
    """A deep copy on the ``meta`` device; tied parameters stay tied."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(_empty(parameter), parameter.requires_grad)
        for parameter in model.parameters()
    }
    memo |= {id(buffer): _empty(buffer) for buffer in model.buffers()}
    return copy.deepcopy(model, memo)


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")


@dataclass(frozen=True)
class StepCost:
    """One step's cost. Only products and convolutions have FLOPs; all else counts as free.

    Attributes:
        forward: FLOPs of the forward pass.
        backward: FLOPs of the backward pass.
        weights: those of them that are spent for weights' gradients alone.
        updated: parameters that the optimizer moves.
    """

    forward: float
    backward: float
    weights: float
    updated: float

    @property
    def total(self) -> float:
        """FLOPs of both passes."""
        return self.forward + self.backward

    @property
    def activations(self) -> float:
        """FLOPs of the backward pass that are not for weights' gradients alone."""
        return self.backward - self.weights


def step_costs(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    strategy: Strategy | str = "uniform",
    seed: int = 0,
    draws: int = 16,
) -> tuple[StepCost, StepCost]:
    """Count a full step, and the mean over drop steps with masks that are really drawn.

    Args:
        model: stays as it is.
        batch: what the model is called with: a tensor, a tuple of arguments, or a mapping of
            keyword arguments. Only shapes and types count.
        loss: makes a scalar of the model's outputs; by default the sum of the first tensor in them.
        strategy: see `LayerDropBack`.
        seed: of the masks.
        draws: masks to take the mean over.

    Returns:
        A full step, and a drop step's mean.

    Raises:
        AttachError: see `LayerDropBack`.

    Example:
        >>> model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
        >>> full, drop = step_costs(model, torch.zeros(2, 8), strategy="uniform")
        >>> full.forward, full.backward  # 2*2*8*8 each: 4 forward, 4 for weights, 3 for activations
        (1024, 1792)
        >>> full.backward > drop.backward >= 256  # the head is always kept
        True
    """
    trial = Trial(model, batch, loss)
    optimizer = torch.optim.SGD(trial.model.parameters(), lr=0.0)
    costs = _backward_costs(model, batch, loss)
    # Epoch 0 is full and epoch 1 drops, whatever the user's schedule is.
    ldb = LayerDropBack(trial.model, optimizer, strategy, Schedule(every=2, start=1), seed=seed)

    def backward(value: Tensor) -> tuple[float, float, float]:
        with FlopCounterMode(display=False, custom_mapping=corrections()) as passed:
            value.backward()  # type: ignore[no-untyped-call]
        moved = {n: p.numel() for n, p in trial.model.named_parameters() if p.grad is not None}
        optimizer.zero_grad()
        ldb.redraw()  # a step would have nothing to move, nor its checks anything to see
        weights = costs.by_place(dict.fromkeys(moved, 0)).get(0, 0.0)
        return passed.get_total_flops(), weights, sum(moved.values())

    with torch.random.fork_rng():
        with ldb.epoch(None, 0):
            # Torch's counter would put hooks on the activations, which a cut would have to respect.
            with ForwardFlops() as counter:
                value = trial.forward()
            full = StepCost(counter.total, *backward(value))
        with ldb.epoch(None, 1):
            drops = [backward(trial.forward()) for _ in range(draws)]
    means = (statistics.fmean(column) for column in zip(*drops, strict=True))
    return full, StepCost(full.forward, *means)


@contextmanager
def activations_only(model: nn.Module, batch: Any, loss: Loss | None = None) -> Iterator[Any]:
    """While no weight has a gradient and the inputs have one; gives such inputs.

    Where the inputs are no floating-point numbers (tokens), what uses them first stays trainable.
    At the end the model's flags are as before.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> with activations_only(model, torch.ones(1, 3)) as inputs:
        ...     model(inputs).sum().backward()
        >>> model.weight.grad is None, inputs.grad.shape
        (True, torch.Size([1, 3]))
    """
    needed: set[int] = set()
    if not any(tensor.is_floating_point() for tensor in output_tensors(batch)):
        needed = {id(parameter) for _, parameter in _first_used(model, batch, loss)}
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in needed]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield map_tensors(_with_gradient, batch)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _backward_costs(model: nn.Module, batch: Any, loss: Loss | None) -> BackwardCosts:
    """Of one full step, with what stands for the inputs left out of the parameters."""
    trial = Trial(model, batch, loss)
    inputs = {id(tensor) for tensor in output_tensors(trial.batch) if tensor.is_floating_point()}
    for tensor in output_tensors(trial.batch):
        tensor.requires_grad_(id(tensor) in inputs)
    first = set() if inputs else {name for name, _ in _first_used(model, batch, loss)}
    named = trial.model.named_parameters()
    costs = BackwardCosts({id(p): name for name, p in named if name not in first})
    with torch.random.fork_rng(), ForwardFlops() as counter:
        value = trial.forward()
    costs.add(edges(graph_roots(value)), counter.nodes)
    return costs


def _with_gradient(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().clone().requires_grad_()


def _first_used(model: nn.Module, batch: Any, loss: Loss | None) -> list[tuple[str, nn.Parameter]]:
    """The parameters of the layer that is used first, found on a copy."""
    trial = Trial(model, batch, loss)
    names = {parameter: name for name, parameter in trial.model.named_parameters()}
    with torch.random.fork_rng():
        uses = first_uses(graph_roots(trial.forward()), frozenset())
    first = names[min(names.keys() & uses.keys(), key=uses.__getitem__)]
    layer = next(layer for layer in find_layers(model) if first in layer.parameter_names)
    return list(zip(layer.parameter_names, layer.parameters, strict=True))
