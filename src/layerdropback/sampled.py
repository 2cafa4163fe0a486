"""A few numbers of each of some tensors, evenly spread, also where every rank has but its shard."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .interop.sharding import is_sharded


def sample(tensors: Sequence[tuple[Tensor, int]]) -> list[Tensor]:
    """So many numbers of each tensor, always the same places, as float32.

    Of sharded ones every rank must ask; it gets the same numbers as the others do, in one
    reduction.

    Args:
        tensors: each with how many numbers are wanted of it.

    Returns:
        Flat tensors; shorter where there are fewer numbers.

    Example:
        >>> sample([(torch.arange(10), 3)])
        [tensor([0., 3., 6.])]
    """
    found = [_of_shard(t, count) if is_sharded(t) else _spread(t, count) for t, count in tensors]
    parts = [i for i, (tensor, _) in enumerate(tensors) if is_sharded(tensor)]
    if parts:
        together = torch.cat([found[i] for i in parts])
        for group in _groups([tensors[i][0] for i in parts]):
            torch.distributed.all_reduce(together, group=group)
        lengths = np.cumsum([len(found[i]) for i in parts])[:-1].tolist()
        for i, part in zip(parts, torch.tensor_split(together, lengths), strict=True):
            found[i] = part
    return found


def _step(numbers: int, count: int) -> int:
    return max(1, numbers // count)


def _spread(tensor: Tensor, count: int) -> Tensor:
    flat = tensor.flatten()
    return flat[:: _step(len(flat), count)][:count].float()


def _of_shard(tensor: Any, count: int) -> Tensor:
    """The same of a sharded tensor, zero where the number is another rank's."""
    places = np.arange(0, tensor.numel(), _step(tensor.numel(), count))[:count]
    at = np.stack(np.unravel_index(places, tensor.shape))
    local = tensor.to_local()
    found = torch.zeros(len(places), device=local.device)
    for chunk in tensor.__create_chunk_list__():
        start = np.array(chunk.offsets)[:, None]
        here = ((at >= start) & (at < start + np.array(chunk.sizes)[:, None])).all(0)
        if here.any():
            index = tuple(torch.from_numpy(axis) for axis in (at - start)[:, here])
            found[torch.from_numpy(here)] = local[index].float()
    return found


def _groups(tensors: Sequence[Any]) -> list[Any]:
    """The process groups over which the tensors are sharded.

    All must be sharded over the same ranks, as ``fully_shard`` does with one mesh.
    """
    first = tensors[0]
    shards = [place for place, how in enumerate(first.placements) if how.is_shard()]
    return [first.device_mesh.get_group(place) for place in shards]
