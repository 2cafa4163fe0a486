"""How much the gradient changes when a layer, or a branch, is dropped: measured on a few batches.

Without a layer the gradient lacks that layer's part and is otherwise the same, so full steps tell
it for nothing. Without a branch the gradients of all that is before it change: a copy of the model
makes one forward pass, and from what it returned one backward pass for each branch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .errors import AttachError, explain
from .interop.sharding import whole
from .interop.wrappers import named_module, unwrap
from .lab.profiling.copying import copy_of
from .lab.profiling.trial import Call, call
from .model.graph import output_tensors
from .model.layers import Layer
from .model.nested import tensors_in

# Full steps that are looked at; the first drop step comes after them.
BATCHES = 3


class Sensitivity:
    """Means over batches of what each layer or branch changes, of the whole squared gradient.

    Example:
        >>> seen = Sensitivity()
        >>> for change in (0.2, 0.4, math.nan, 0.6):  # an overflow tells nothing
        ...     seen.add({"head": change})
        >>> seen.complete, round(seen.mean()["head"], 3)
        (True, 0.4)
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._batches = 0

    @property
    def complete(self) -> bool:
        """Whether enough batches were seen."""
        return self._batches >= BATCHES

    def add(self, changes: Mapping[str, float]) -> None:
        """Take one batch in, unless enough are, or it shows nothing."""
        if self.complete or not changes or not all(map(math.isfinite, changes.values())):
            return
        self._batches += 1
        for name, change in changes.items():
            self._sums[name] = self._sums.get(name, 0.0) + change

    def mean(self) -> dict[str, float]:
        """For each name."""
        return {name: total / max(1, self._batches) for name, total in self._sums.items()}

    def to_state(self) -> dict[str, Any]:
        """Plain containers, for a checkpoint."""
        return {"batches": self._batches, "sums": dict(self._sums)}

    def restart(self, state: Mapping[str, Any]) -> None:
        """The inverse of `to_state`."""
        self._batches, self._sums = state["batches"], dict(state["sums"])


def of_layers(layers: Sequence[Layer]) -> dict[str, float]:
    """Each layer's part of the squared gradient that is there now.

    Example:
        >>> from layerdropback import find_layers
        >>> model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        >>> for parameter, gradient in zip(model.parameters(), (1.0, 3.0)):
        ...     parameter.grad = torch.full_like(parameter, gradient)
        >>> {name: round(part, 3) for name, part in of_layers(find_layers(model)).items()}
        {'0': 0.1, '1': 0.9}
    """
    squares = {}
    for layer in layers:
        gradients = [p.grad for p in layer.parameters if p.grad is not None]
        if gradients:
            squares[layer.name] = _square(gradients)
    if not squares:
        return {}
    parts = torch.stack(list(squares.values()))
    return dict(zip(squares, (parts / parts.sum()).tolist(), strict=True))


def of_branches(
    model: nn.Module,
    used: tuple[Call, Mapping[int, Tensor]],
    branches: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """What cutting each of some branches off changes, of the whole squared gradient.

    Args:
        model: stays as it is; a copy makes the passes.
        used: arguments of a call and, by position, the gradients that its outputs got.
        branches: the modules whose outputs are cut off, by the name to report them with.

    Raises:
        AttachError: the model's backward pass cannot be made by itself.
    """
    arguments, gradients = used
    trial = copy_of(unwrap(model))
    cut: set[str] = set()
    for name in {name for names in branches.values() for name in names}:
        named_module(trial, name).register_forward_hook(partial(_gate, cut, name))
    parameters = [parameter for parameter in trial.parameters() if parameter.requires_grad]
    places = sorted(gradients)

    def backward() -> list[Tensor | None]:
        seeds = [gradients[place].to(outputs[place].dtype) for place in places]
        ends = [outputs[place] for place in places]
        return list(
            torch.autograd.grad(ends, parameters, seeds, retain_graph=True, allow_unused=True)
        )

    changes = {}
    try:
        with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
            with torch.enable_grad():
                outputs = output_tensors(call(trial, arguments))
            whole = backward()
            for name, modules in branches.items():
                cut.update(modules)
                changes[name] = _square(_differences(whole, backward()))
                cut.clear()
    except RuntimeError as error:
        fact = f"allocate='sensitivity' cannot be measured with {type(trial).__name__}"
        cause = f"a copy of the model could not repeat a backward pass ({error})"
        raise AttachError([explain(fact, cause, "use allocate='cost'")]) from error
    total = _square([gradient for gradient in whole if gradient is not None])
    values = (torch.stack(list(changes.values())) / total).tolist()
    return dict(zip(changes, values, strict=True))


def _gate(cut: set[str], name: str, module: nn.Module, args: Any, output: Any) -> None:
    """Let gradients pass only while the branch is not cut off."""
    for tensor in tensors_in(output):
        if tensor.requires_grad:
            tensor.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: torch.zeros_like(gradient) if name in cut else None
            )


def _differences(whole: Iterable[Tensor | None], others: Iterable[Tensor | None]) -> list[Tensor]:
    pairs = zip(whole, others, strict=True)
    return [a if b is None else a - b for a, b in pairs if a is not None]


def _square(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of all squares, as a number on the device."""
    sums = [whole(tensor.detach().float().square().sum()) for tensor in tensors]
    return torch.stack(sums).sum()
