"""What FSDP2 sends: the bytes of gradients that it gives to reduce-scatter.

Each time FSDP2 has reduced a gradient into a shard, it calls the hooks that were put on the shard
with ``register_post_accumulate_grad_hook``. A shard's size says how much was scattered to fill it.
A collective of our own in its place (``set_custom_reduce_scatter``) could count as well, but old
releases have none, it would push out one of the user's, and nothing gives that back.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from .distributed.comm_hook import Traffic
from .interop.sharding import Sharded, is_sharded


def count_scattered(modules: Sequence[Sharded], traces: contextlib.ExitStack) -> Traffic | None:
    """Count what sharded modules give to reduce-scatter from now on.

    Passes of hybrid sharding for which the all-reduce is held back count as one with the next.

    Args:
        modules: those that shard, the outer ones first.
        traces: closing it ends the counting.

    Returns:
        The count of this process; None where nothing is sharded.
    """
    if not modules:
        return None
    traffic = Traffic()
    owners: dict[int, tuple[nn.Parameter, nn.Module]] = {}
    for _, module in modules:  # the innermost one that has a parameter shards it
        owners |= {id(p): (p, module) for p in module.parameters() if is_sharded(p)}
    for parameter, module in owners.values():
        if parameter.is_floating_point() or parameter.is_complex():
            traces.callback(_when_reduced(parameter, _adder(traffic, _size(parameter, module))))
    return traffic


def _adder(traffic: Traffic, size: int) -> Callable[[Tensor], None]:
    def add(shard: Tensor) -> None:
        traffic.bytes += size

    return add


def _when_reduced(parameter: nn.Parameter, hook: Callable[[Tensor], None]) -> Callable[[], None]:
    """Have a hook called; what it returns undoes it."""
    trains = parameter.requires_grad
    parameter.requires_grad_(True)  # torch puts no hook on what is frozen, and it may train later
    try:
        anything: Any = parameter  # some releases of torch have no type for this method
        handle: Any = anything.register_post_accumulate_grad_hook(hook)
    finally:
        parameter.requires_grad_(trains)
    remove: Callable[[], None] = handle.remove
    return remove


def _size(parameter: Any, module: Any) -> int:
    """Bytes of a whole gradient as it is scattered: padded, and in the type of the reduction."""
    sizes, workers = list(parameter.shape), 0
    for places, placement in zip(parameter.device_mesh.shape, parameter.placements, strict=True):
        dimension = getattr(placement, "dim", None)
        if dimension is not None:  # else the mesh holds copies along here
            sizes[dimension] = math.ceil(sizes[dimension] / places)
            workers = workers or places  # FSDP2's; tensor parallelism shards along the later ones
    policy = module._get_fsdp_state()._mp_policy
    dtype = policy.reduce_dtype or policy.param_dtype or parameter.dtype
    return int(workers * math.prod(sizes) * dtype.itemsize) if workers > 1 else 0
