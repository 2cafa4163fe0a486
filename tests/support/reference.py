"""The authors' algorithm in plain words, apart from the library: what parity is tested against.

Every second epoch from epoch 2 on drops (2, 4, 6, ...). In it every parameter tensor is dropped by
itself, by ``requires_grad``, redrawn in every step; the classifier's two tensors are never dropped;
the learning rate is scaled for the epoch and set back after it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    batches: Callable[[bool], Sequence[Batch]],
    epochs: int,
    backward: Callable[[nn.Module, Batch], Tensor],
    dropped: Callable[[int], set[str]],
    kept: set[str],
) -> list[set[str]]:
    """Train, and return which parameters had a gradient in each step.

    Args:
        batches: of an epoch that drops, or does not.
        dropped: for a step's number, the names of the parameters that its mask drops.
        kept: the names of the two tensors that no mask may drop.
    """
    reached: list[set[str]] = []
    for epoch in range(epochs):
        drop_epoch = epoch % 2 == 0 and epoch != 0
        rates = [group["lr"] for group in optimizer.param_groups]
        if drop_epoch:
            for group in optimizer.param_groups:
                group["lr"] *= 2  # "double"; "relative" to a rate of 0.5 is the same
        for batch in batches(drop_epoch):
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
