"""The authors' algorithm in plain words, apart from the library: what parity is tested against.

Every parameter tensor is dropped by itself, by ``requires_grad``, redrawn in every step of a drop
epoch; the classifier's two tensors are never dropped; the learning rate is doubled for the drop
epoch and set back after it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    batches: Sequence[tuple[Tensor, Tensor]],
    epochs: int,
    backward: Callable[[nn.Module, tuple[Tensor, Tensor]], Tensor],
    dropped: Callable[[int], set[str]],
    kept: set[str],
) -> list[set[str]]:
    """Train, and return which parameters had a gradient in each step.

    Args:
        dropped: for a step's number, the names of the parameters that its mask drops.
        kept: the names of the two tensors that no mask may drop.
    """
    reached: list[set[str]] = []
    for epoch in range(epochs):
        drop_epoch = epoch % 2 == 1
        rates = [group["lr"] for group in optimizer.param_groups]
        if drop_epoch:
            for group in optimizer.param_groups:
                group["lr"] *= 2
        for batch in batches:
            if drop_epoch:
                names = dropped(len(reached))
                assert not names & kept
                for name, parameter in model.named_parameters():
                    parameter.requires_grad = name not in names
            optimizer.zero_grad()
            backward(model, batch)
            reached.append({n for n, p in model.named_parameters() if p.grad is not None})
            optimizer.step()
        for parameter in model.parameters():
            parameter.requires_grad = True
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler.step()
    return reached
