"""What a step costs, and what a setting spares of it, counted before anything is trained.

FLOPs come from `torch.utils.flop_counter`, on a copy of the model that has shapes and no data, with
the library's own masks: so they hold for every strategy, unit and rate without a formula for each.
"""

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .controller import LayerDropBack
from .keeping import first_use
from .layers import find_layers
from .order import Order

Loss = Callable[[Any], Tensor]


@dataclass(frozen=True)
class StepCost:
    """One step's cost. Only products and convolutions have FLOPs; all else counts as free.

    Attributes:
        forward: FLOPs of the forward pass.
        backward: FLOPs of the backward pass.
        updated: parameters that the optimizer moves.
    """

    forward: float
    backward: float
    updated: float

    @property
    def total(self) -> float:
        """FLOPs of both passes."""
        return self.forward + self.backward


def step_costs(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    draws: int = 16,
    **settings: Any,
) -> tuple[StepCost, StepCost]:
    """Count a full step, and the mean over drop steps with masks that are really drawn.

    Args:
        model: stays as it is.
        batch: what the model is called with: a tensor, a tuple of arguments, or a mapping of
            keyword arguments. Only shapes and types count.
        loss: makes a scalar of the model's outputs; by default the sum of the first tensor in them.
        draws: masks to take the mean over.
        **settings: LayerDropBack's, such as ``drop_rate``, ``strategy`` and ``unit``.

    Returns:
        A full step, and a drop step's mean.

    Raises:
        AttachError: see `LayerDropBack`.

    Example:
        >>> model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
        >>> full, drop = step_costs(model, torch.zeros(2, 8), drop_rate=0.5)
        >>> full.forward, full.backward  # 2*2*8*8 each: 4 forward, 4 for weights, 3 for activations
        (1024, 1792)
        >>> full.backward > drop.backward >= 256  # the head is always kept
        True
    """
    trial = Trial(model, batch, loss)
    optimizer = torch.optim.SGD(trial.model.parameters(), lr=0.0)
    chosen = {**settings, "every": 2, "start": 1, "lr_scale": 1.0, "batch_scale": 1}
    ldb = LayerDropBack(trial.model, optimizer, **chosen)

    def backward(value: Tensor) -> tuple[float, float]:
        flops, _ = _flops(value.backward)
        updated = sum(p.numel() for p in trial.model.parameters() if p.grad is not None)
        optimizer.zero_grad()
        ldb.redraw()  # a step would have nothing to move, nor its checks anything to see
        return flops, updated

    with torch.random.fork_rng():
        with ldb.epoch(None, 0):
            forward, value = _flops(trial.forward)
            full = StepCost(forward, *backward(value))
        with ldb.epoch(None, 1):
            drops = [backward(trial.forward()) for _ in range(draws)]
    flops, updated = (statistics.fmean(column) for column in zip(*drops, strict=True))
    return full, StepCost(forward, flops, updated)


def activation_flops(model: nn.Module, batch: Any, loss: Loss | None = None) -> float:
    """FLOPs of the backward pass as `activations_only` leaves it.

    Args:
        model: see `step_costs`, as are `batch` and `loss`.
        batch: what the model is called with.
        loss: makes a scalar of the model's outputs.

    Example:
        >>> model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
        >>> activation_flops(model, torch.zeros(2, 8))
        1024
    """
    trial = Trial(model, batch, loss)
    with (
        torch.random.fork_rng(),
        activations_only(trial.model, trial.batch, trial.loss) as trial.batch,
    ):
        return _flops(trial.forward().backward)[0]


@contextmanager
def activations_only(model: nn.Module, batch: Any, loss: Loss | None = None) -> Iterator[Any]:
    """While no weight has a gradient and the inputs have one; gives such inputs.

    Where the inputs are no floating-point numbers (tokens), what uses them first stays trainable.

    Args:
        model: whose flags are put back at the end.
        batch: see `step_costs`.
        loss: see `step_costs`.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> with activations_only(model, torch.ones(1, 3)) as inputs:
        ...     model(inputs).sum().backward()
        >>> model.weight.grad is None, inputs.grad.shape
        (True, torch.Size([1, 3]))
    """
    needed: set[int] = set()
    if not any(tensor.is_floating_point() for tensor in tensors_in(batch)):
        needed = set(map(id, _first_used(model, batch, loss)))
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in needed]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield map_tensors(_with_gradient, batch)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model with a batch: a tensor, a tuple of arguments, or keyword arguments.

    Example:
        >>> call(nn.Linear(3, 2), {"input": torch.zeros(4, 3)}).shape
        torch.Size([4, 2])
    """
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple | list) else model(batch)


def summed(outputs: Any) -> Tensor:
    """The sum of the first floating-point tensor in a model's outputs, for want of a loss.

    Example:
        >>> summed({"logits": torch.ones(2, 3)})
        tensor(6.)
    """
    for tensor in tensors_in(outputs):
        if tensor.is_floating_point():
            return tensor.float().sum()
    raise TypeError("the model's outputs hold no floating-point tensor; give a loss")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested mappings and sequences."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)


def map_tensors(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same mappings and sequences, as plain ones, with every tensor changed.

    Example:
        >>> map_tensors(lambda tensor: tensor + 1, {"x": (torch.tensor(1), "name")})
        {'x': (tensor(2), 'name')}
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(change, part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        parts = [map_tensors(change, part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return value


class Trial:
    """A copy of a model and a batch, without data where that is possible, to count steps with.

    Args:
        model: see `step_costs`, as are `batch` and `loss`.
        batch: what the model is called with.
        loss: makes a scalar of the model's outputs.

    Attributes:
        model: the copy.
        batch: its batch.
        loss: as given, or the default.
    """

    def __init__(self, model: nn.Module, batch: Any, loss: Loss | None):
        self.loss = loss or summed
        self.model = copy.deepcopy(model, _without_data(model)).train()
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


def _without_data(model: nn.Module) -> dict[int, Any]:
    """What a deep copy takes for each tensor of the model; tied ones stay tied."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return memo


def _flops(work: Callable[[], Any]) -> tuple[float, Any]:
    """FLOPs of some work, and what it returns."""
    with FlopCounterMode(display=False) as counter:
        result = work()
    return counter.get_total_flops(), result


def _with_gradient(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().clone().requires_grad_()


def _first_used(model: nn.Module, batch: Any, loss: Loss | None) -> list[nn.Parameter]:
    """The parameters of the layer that is used first, found on a copy."""
    trial = Trial(model, batch, loss)
    optimizer = torch.optim.SGD(trial.model.parameters(), lr=0.0)
    ldb = LayerDropBack(trial.model, optimizer)
    with torch.random.fork_rng(), ldb.epoch(None, 0):
        trial.forward().backward()  # type: ignore[no-untyped-call]
        optimizer.zero_grad()
        ldb.redraw()
    order = Order.from_state(ldb.state_dict()["order"])
    layers = find_layers(model)
    first = min(range(len(layers)), key=lambda i: first_use(layers[i], order))
    return list(layers[first].parameters)
