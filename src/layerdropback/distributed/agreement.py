"""What the ranks that train one model must have in common, so that their masks are the same."""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import AttachError, explain
from ..interop.wrappers import data_parallel
from ..model.order import Order

Value = TypeVar("Value")


def agreed(recorded: Order, model: nn.Module) -> Order:
    """The order that all ranks of a model use from now on.

    Each recorded its own; with conditional layers they differ, and so would the masks.
    """
    orders = _gathered(recorded, model)
    common = orders[-1]
    for order in reversed(orders[:-1]):
        common = common.updated(order)
    return common


def of_first(value: Value, model: nn.Module) -> Value:
    """The first rank's value: the others' are of other batches, maybe of other lengths."""
    return _gathered(value, model)[0]


def require_agreement(facts: Mapping[str, Any], model: nn.Module, consequence: str) -> None:
    """Make sure that facts are the same on all ranks of a model; every rank must call it.

    Args:
        facts: by name; compared, and told, by their ``repr``.
        model: one process's own where it is neither ``DistributedDataParallel`` nor sharded by
            ``fully_shard``; then there is nothing to compare with.
        consequence: what cannot be done otherwise.

    Raises:
        AttachError: on every rank alike; it names the facts that differ, and on which ranks.
    """
    if not _groups(model):
        return
    rank = torch.distributed.get_rank()
    found = _gathered((rank, {name: repr(value) for name, value in facts.items()}), model)
    problems = []
    for name in facts:
        ranks: dict[str, list[int]] = {}
        for number, theirs in found:
            ranks.setdefault(theirs.get(name, "unknown"), []).append(number)
        if len(ranks) > 1:
            each = [f"{value} on {_ranks(numbers)}" for value, numbers in ranks.items()]
            problems.append(f"{name} is {', '.join(each)}")
    if problems:
        cause = "masks are drawn from it, and the ranks would train different models"
        cure = "give every rank the same seed, settings and model, and load the same state on all"
        fact = f"the ranks disagree: {'; '.join(problems)}"
        raise AttachError([explain(fact, cause, cure)], consequence)


def _ranks(numbers: list[int]) -> str:
    return f"rank{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def _gathered(value: Value, model: nn.Module) -> list[Value]:
    """Every rank's value, the first one's first."""
    values: list[Any] = [value]
    for group in _groups(model):
        lists: list[Any] = [None] * torch.distributed.get_world_size(group)
        torch.distributed.all_gather_object(lists, values, group=group)
        values = [entry for entries in lists for entry in entries]
    return values


def _groups(model: nn.Module) -> list[Any]:
    """The process groups that together hold all ranks of a model; none for one process's own."""
    wrapper = data_parallel(model)
    if wrapper is not None:
        return [wrapper.process_group]
    for parameter in model.parameters():
        mesh = getattr(parameter, "device_mesh", None)  # a DTensor's
        if mesh is not None:
            return list(mesh.get_all_groups())
    return []
