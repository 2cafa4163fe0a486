"""A model whose blocks take turns, and a loop that trains it."""

import torch
from torch import nn

from layerdropback import LayerDropBack, Schedule

EVERY_FOUR = Schedule(steps=4)


class Residual(nn.Module):
    """An embedding, six residual blocks, a norm and a head, which may share the embedding."""

    def __init__(self, blocks=6, width=6, tied=False):
        super().__init__()
        self.embed = nn.Embedding(9, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 9, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        hidden = self.embed(tokens)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.head(self.norm(hidden))


def made(**changes):
    torch.manual_seed(0)
    return Residual(**changes)


def adamw(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=0.01, **settings)


def batch_of(step):
    return torch.randint(0, 9, (3, 5), generator=torch.Generator().manual_seed(step))


def backward(model, step):
    tokens = batch_of(step)
    loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(1, 1).flatten())
    loss.backward()


def parts_with(model, has):
    """The blocks' numbers and the other parts' names of which each parameter has something."""
    parts = [(i, block) for i, block in enumerate(model.blocks)]
    parts += [(name, getattr(model, name)) for name in ("embed", "norm", "head")]
    return {name for name, part in parts if all(map(has, part.parameters()))}


def train(model, optimizers, strategy, steps, schedule=EVERY_FOUR, start=0, ldb=None, **settings):
    """Steps of a plain loop; by step which parts had gradients, and which states there were."""
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    if ldb is None:
        settings = {"seed": 3, "verify": True} | settings
        ldb = LayerDropBack(model, optimizers, strategy, schedule, **settings)
    seen = []
    with ldb.epoch(None, 0):
        for step in range(start, start + steps):
            backward(model, step)
            graded = parts_with(model, lambda p: p.grad is not None)
            for optimizer in optimizers:
                optimizer.step()
            stated = parts_with(model, lambda p: any(p in o.state for o in optimizers))
            seen.append((graded, stated))
            for optimizer in optimizers:
                optimizer.zero_grad()
    return ldb, seen
