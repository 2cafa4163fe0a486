"""How much each layer's gradient still says: signal against noise, from steps that are made anyway.

What `adaptive` goes by. A layer whose gradient has the same direction from step to step is still
learning; one whose gradient is nearly all noise gains little from another step, and its backward
pass can be spared at little loss (issue 5; the idea of drawing by the worth of a layer is LISA's
and DropBP's, which fix it beforehand).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .model.layers import Layer
from .sampled import sample

# Numbers of each layer that are watched, the decay of their averages, and steps between two looks.
SAMPLES, DECAY, EVERY = 256, 0.9, 4

# Part of a layer's worth that goes by its cost: no layer is ever worth nothing, and what is cut
# stays within twice the share of the cost that `truncate` would cut.
BY_COST = 0.5


class Signals:
    """Running averages of a few gradient entries of each layer.

    Args:
        layers: of the model.
        normalised: whether the optimizer divides gradients by their size, as Adam does.

    Example:
        >>> from torch import nn
        >>> from layerdropback import find_layers
        >>> model = nn.Linear(2, 1, bias=False)
        >>> signals = Signals(find_layers(model), normalised=False)
        >>> for _ in range(40):
        ...     model.weight.grad = torch.ones(1, 2)  # the same in every step: all is signal
        ...     signals.look()
        >>> signals.worth().round(3).tolist()
        [2.0]
    """

    def __init__(self, layers: Sequence[Layer], normalised: bool):
        self._layers, self._normalised = tuple(layers), normalised
        self._mean: dict[int, Tensor] = {}
        self._square: dict[int, Tensor] = {}
        self._looks = np.zeros(len(layers), dtype=np.int64)

    def look(self) -> None:
        """Take the gradients that are there in; before the optimizer's step."""
        for i, entries in _entries(self._layers).items():
            if i not in self._mean:
                self._mean[i] = torch.zeros_like(entries)
                self._square[i] = torch.zeros_like(entries)
            self._mean[i].mul_(DECAY).add_(entries, alpha=1 - DECAY)
            self._square[i].mul_(DECAY).addcmul_(entries, entries, value=1 - DECAY)
            self._looks[i] += 1

    def worth(self) -> NDArray[np.float64]:
        """For each layer what a step gains by it: its parameters times their gradients' signal.

        That is the power of their mean, less what pure noise would have; for an optimizer that
        divides by the gradients' size, divided by it.

        Returns:
            Shape ``(layers,)``; NaN where nothing was seen.
        """
        found = np.full(len(self._layers), np.nan)
        for i, mean in self._mean.items():
            n = int(self._looks[i])
            bias = 1 - DECAY**n
            power = float(self._square[i].mean()) / bias
            signal = float((mean / bias).square().mean())
            # What the mean of pure noise has of its power, after so many looks.
            noise = (1 - DECAY) / (1 + DECAY) * (1 + DECAY**n) / (1 - DECAY**n)
            gained = 0.0 if noise >= 1 else max(0.0, (signal - noise * power) / (1 - noise))
            if self._normalised and power > 0:
                gained /= math.sqrt(power)
            found[i] = self._layers[i].numel * gained
        return found

    def to_state(self) -> dict[str, Any]:
        """Plain containers and tensors, for a checkpoint."""
        return {
            "looks": self._looks.tolist(),
            "mean": {i: tensor.cpu().clone() for i, tensor in self._mean.items()},
            "square": {i: tensor.cpu().clone() for i, tensor in self._square.items()},
        }

    def restart(self, state: Mapping[str, Any]) -> None:
        """The inverse of `to_state`."""
        self._looks[:] = state["looks"]
        for kept, name in ((self._mean, "mean"), (self._square, "square")):
            kept.clear()
            for i, tensor in state[name].items():
                kept[int(i)] = tensor.to(self._layers[int(i)].parameters[0].device, copy=True)


def _entries(layers: Sequence[Layer]) -> dict[int, Tensor]:
    """The same few entries of each layer's gradients each time, of layers that have them all."""
    counts: list[tuple[int, int]] = []
    gradients: list[tuple[Tensor, int]] = []
    for i, layer in enumerate(layers):
        trained = [parameter for parameter in layer.parameters if parameter.requires_grad]
        found = [p.grad.detach() for p in trained if p.grad is not None]
        if trained and len(found) == len(trained):
            counts.append((i, len(found)))
            gradients += [(gradient, max(1, SAMPLES // len(found))) for gradient in found]
    sampled = iter(sample(gradients))
    return {
        # An overflow that a loss scaler deals with must not stay in the averages.
        i: torch.nan_to_num(torch.cat([next(sampled) for _ in range(count)]), 0.0, 0.0, 0.0)
        for i, count in counts
    }


def worth_shares(
    worth: NDArray[np.float64], cost_shares: Mapping[str, float], names: Sequence[str]
) -> dict[str, float]:
    """What a cut above each layer gives up: of all layers' worth and of their cost in equal parts.

    Args:
        worth: see `Signals.worth`.
        cost_shares: see `depth_shares`; their order is that of first use.
        names: of the layers, in the order of `worth`.

    Example:
        >>> worth_shares(np.array([1.0, 3.0]), {"a": 0.5, "b": 1.0}, ["a", "b"])
        {'a': 0.375, 'b': 1.0}
    """
    known = dict(zip(names, worth.tolist(), strict=True))
    ranked = list(cost_shares)
    costs = np.diff([cost_shares[name] for name in ranked], prepend=0.0)
    values = np.array([known[name] for name in ranked])
    values[np.isnan(values)] = 0.0
    total = values.sum()
    mixed = costs if total == 0 else (1 - BY_COST) * (values / total) + BY_COST * costs
    return dict(zip(ranked, np.cumsum(mixed).tolist(), strict=True))
