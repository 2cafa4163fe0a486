"""DistributedDataParallel without processes, and process groups of made-up ranks."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

needs_distributed = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


class Parallel(DistributedDataParallel):
    """To the eye a DDP model; it reduces nothing."""

    def __init__(self, module, group=None):
        nn.Module.__init__(self)
        self.module, self.process_group = module, group
        self.require_backward_grad_sync = self.find_unused_parameters = True
        self.static_graph = False

    def forward(self, *args):
        with self._inside_ddp_forward():
            return self.module(*args)


def make_up_ranks(monkeypatch, *others):
    """This process is rank 0; each of the others answers every gathering with a function of it."""

    def gather(lists, value, group=None):
        lists[:] = [value, *(other(value) for other in others)]

    monkeypatch.setattr(torch.distributed, "get_rank", lambda group=None: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group=None: 1 + len(others))
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
