"""What the replicas of one model must have in common, so that their masks are the same."""

from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .order import Order

Value = TypeVar("Value")


def agreed(recorded: Order, model: nn.Module) -> Order:
    """The order that all replicas of a ``DistributedDataParallel`` model use from now on.

    Each recorded its own; with conditional layers they differ, and so would the masks.
    """
    orders = _gathered(recorded, model)
    common = orders[-1]
    for order in reversed(orders[:-1]):
        common = common.updated(order)
    return common


def of_first(value: Value, model: nn.Module) -> Value:
    """The first replica's value: the others' are of other batches, maybe of other lengths."""
    return _gathered(value, model)[0]


def _gathered(value: Value, model: nn.Module) -> list[Value]:
    if not isinstance(model, DistributedDataParallel):
        return [value]
    group = model.process_group
    values: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(values, value, group=group)
    return values
