"""A chain of residual blocks, checkpointed or not, with one head or several."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from zoo import Skip

BLOCKS = 4


class Chain(nn.Module):
    """Residual blocks, checkpointed one by one or not, and some heads."""

    def __init__(self, checkpointed=False, heads=1, dropout=0.2):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(
            Skip(
                nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 8)),
            )
            for _ in range(BLOCKS)
        )
        self.heads = nn.ModuleList(nn.Linear(8, 2) for _ in range(heads))
        self.checkpointed = checkpointed

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        return [head(x) for head in self.heads]


def vectors(count):
    torch.manual_seed(2)
    return [torch.randn(4, 8) for _ in range(count)]


def together(model, batch):
    """One backward pass for all heads."""
    sum(head.square().mean() for head in model(batch)).backward()
