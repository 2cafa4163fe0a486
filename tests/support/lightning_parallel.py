"""Modules for Lightning on several ranks: steps by hand, under no_sync, and in shards."""

import contextlib

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lightning_runs import (
    Classifier,
    Gan,
)


class ByHand(Classifier):
    """Steps by hand; a parameter of its own is used in its call, and in none of a part."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.shift = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return self.net(x + self.shift)

    def training_step(self, batch, index):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, index))
        optimizer.step()


class Unsynced(ByHand):
    """Its forward or its backward pass is made under ``no_sync()``."""

    def __init__(self, unsynced):
        super().__init__()
        self._unsynced = unsynced

    def training_step(self, batch, index):
        optimizer, unsynced = self.optimizers(), self.trainer.model.no_sync
        optimizer.zero_grad()
        with unsynced() if self._unsynced == "forward" else contextlib.nullcontext():
            loss = Classifier.training_step(self, batch, index)
        with unsynced() if self._unsynced == "backward" else contextlib.nullcontext():
            self.manual_backward(loss)
        optimizer.step()


def shard(network, mesh):
    """Each block by itself, and the rest with the network."""
    if not any(isinstance(p, DTensor) for p in network.parameters()):
        for part in network:
            fully_shard(part, mesh=mesh)
        fully_shard(network, mesh=mesh)


class Sharded(Classifier):
    def configure_model(self):
        shard(self.net, self.device_mesh["data_parallel"])


class ShardedGan(Gan):
    def configure_model(self):
        for network in (self.generator, self.discriminator):
            shard(network, self.device_mesh["data_parallel"])
