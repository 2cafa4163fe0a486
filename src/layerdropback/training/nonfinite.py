"""Losses and gradients that are not finite: the run stops, or such steps are skipped."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..errors import Diverged, explain
from ..interop.wrappers import is_sharded
from .workers import ALONE, Workers

# Steps between two looks of a run that stops: a look waits for the device.
LOOK_EVERY = 100


class Guard:
    """Keeps steps from being made whose loss or gradients are not finite, if that is the policy.

    Such a step leaves no trace but its count: its gradients are thrown away, and BatchNorm's
    statistics, which its forward pass has moved, are put back. LayerDropBack sees no optimizer
    step, so the mask stays for the next batch, as it does where a loss scaler skips one.

    Args:
        model: whose gradients are looked at.
        skips: whether that is the policy; otherwise nothing is kept, and nothing waited for.
        workers: that make the step together, and decide alike.

    Attributes:
        lost: whether the last step's loss was not finite: its images count as nothing.

    Example:
        >>> model = nn.BatchNorm1d(1)
        >>> guard = Guard(model, skips=True)
        >>> guard.begin()
        >>> loss = model(torch.tensor([[1.0], [math.inf]])).sum()
        >>> loss.backward()
        >>> guard.good(loss.detach()), guard.lost, model.running_mean
        (False, True, tensor([0.]))
    """

    def __init__(self, model: nn.Module, skips: bool, workers: Workers = ALONE):
        self._model, self._skips, self._workers = model, skips, workers
        self._buffers: list[Tensor] = []
        self.lost = False

    def begin(self) -> None:
        """Before a step's first forward pass."""
        if self._skips:
            self._buffers = [buffer.clone() for buffer in self._model.buffers()]

    def good(self, totals: Tensor) -> bool:
        """Whether the step may be made, once all gradients are there.

        Args:
            totals: what is counted of the step, its loss first; zero afterwards where it is lost.
        """
        if not self._skips:
            return True
        gradients = (p.grad for p in self._model.parameters() if p.grad is not None)
        bad = torch.stack([~totals.isfinite().all(), ~_all_finite(gradients)])
        lost, overflowed = self._workers.summed(bad.long()).tolist()
        self.lost = lost > 0
        if self.lost:
            totals.zero_()
        if not (lost or overflowed):
            return True
        for buffer, value in zip(self._model.buffers(), self._buffers, strict=True):
            buffer.copy_(value)
        return False


def require_finite(model: nn.Module, loss: float, epoch: int, workers: Workers = ALONE) -> None:
    """Look before a state is saved, so that every checkpoint is one to go on from.

    Args:
        model: whose weights are looked at.
        loss: of all that the epoch has trained on.
        epoch: counted from 1.
        workers: that train together, all of which ask.

    Raises:
        Diverged: the loss or a weight is not finite.

    Example:
        >>> require_finite(nn.Linear(1, 1), math.nan, 2)
        Traceback (most recent call last):
        ...
        layerdropback.errors.Diverged: the loss is nan in epoch 2. Cause: training diverged. \
Cure: use a smaller --lr, or --nonfinite skip.
    """
    bad = ~_all_finite(p.detach() for p in model.parameters())
    if not math.isfinite(loss):
        raise diverged(f"the loss is {loss} in epoch {epoch}")
    if workers.summed(bad.long()).item():
        raise diverged(f"the weights are not finite in epoch {epoch}")


def diverged(fact: str) -> Diverged:
    """An error for a run whose numbers are not finite any more."""
    return Diverged(explain(fact, "training diverged", "use a smaller --lr, or --nonfinite skip"))


@torch.no_grad()
def _all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether all are, as a boolean on their device; of shards this process looks at its own.

    A sum of absolute values that is too large for its type counts as not finite, too.
    """
    own: list[Tensor] = [t.to_local() if is_sharded(t) else t for t in tensors]  # type: ignore[attr-defined]
    return nn.utils.get_total_norm(own, norm_type=1.0).isfinite()
