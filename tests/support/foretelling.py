"""FLOPs as they are foretold from a forward pass, and as a counter sees them."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from layerdropback.lab.profiling.corrections import corrections
from layerdropback.model.backward import BackwardCosts
from layerdropback.model.flops import ForwardFlops
from layerdropback.model.graph import edges, graph_roots


def leaf(*shape, **settings):
    return torch.randn(*shape, **settings).requires_grad_()


def count(work):
    """FLOPs by torch's counter, corrected, and what the work returns."""
    with FlopCounterMode(display=False, custom_mapping=corrections()) as counter:
        result = work()
    return counter.get_total_flops(), result


def foretell(work, parameters):
    """Forward FLOPs, and costs of backward passes, of a work that returns tensors."""
    costs = BackwardCosts({id(p): name for name, p in parameters.items()})
    with ForwardFlops() as counter:
        outputs = work()
    costs.add(edges(graph_roots(outputs)), counter.nodes)
    return counter.total, costs


def spent(costs, wanted):
    """FLOPs of the backward passes when just these parameters want a gradient."""
    return sum(costs.by_place(dict.fromkeys(wanted, 0)).values())


def backward(outputs):
    sum(tensor.float().sum() for tensor in outputs if tensor.requires_grad).backward()
