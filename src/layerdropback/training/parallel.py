"""One model over several ranks: a replica each (DDP), or a shard each (FSDP2).

Its state is whole, however many hold shards of it: one process, replicas and shards go on with
each other's checkpoints, as all save the same tensors.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..interop.wrappers import is_sharded, reshard, sharded_modules
from .compiling import repeated_blocks
from .config import TrainConfig
from .models import ModelSpec, build_model
from .workers import Workers


def sharded(model: nn.Module, config: TrainConfig, device: torch.device, workers: Workers) -> None:
    """Shard a model in place, block by block, before its optimizer is made.

    In bf16 whole parameters are gathered in bf16, and gradients are reduced in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    options: dict[str, Any] = {"mesh": init_device_mesh(device.type, (workers.count,))}
    if config.precision == "bf16":
        options["mp_policy"] = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
    for block in repeated_blocks(model):
        fully_shard(block, **options)
    fully_shard(model, **options)


def replicated(model: nn.Module, drops: bool) -> DistributedDataParallel:
    """Wrap a model in DDP.

    Args:
        model: on its device.
        drops: whether layers are ever dropped; DDP need not look for them otherwise.
    """
    return DistributedDataParallel(model, find_unused_parameters=drops)


@contextmanager
def reducing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """For a forward and a backward pass whose gradients are reduced over the workers, or not yet.

    Args:
        model: in one process alone nothing is reduced.
        wanted: whether they are; the last pass before a step reduces what was gathered so far.
    """
    if isinstance(model, DistributedDataParallel) and not wanted:
        with model.no_sync():
            yield
        return
    set_sync = getattr(model, "set_requires_gradient_sync", None)  # FSDP2's
    if set_sync is not None:
        set_sync(wanted)
    yield


def seed_others(seed: int, workers: Workers) -> None:
    """Give the other workers dropout of their own; the first one goes on as one process would."""
    if not workers.first:
        torch.manual_seed((seed + workers.rank * 0x9E3779B97F4A7C15) % 2**63)


def share_buffers(model: nn.Module, workers: Workers) -> None:
    """Give every worker the first one's buffers, BatchNorm's statistics above all."""
    buffers: list[Tensor] = list(model.buffers())
    workers.first_ones(buffers)


def whole_model(model: nn.Module, spec: ModelSpec, workers: Workers) -> nn.Module:
    """A model in one piece, on the first worker; all must ask, and the others get their own back.

    Args:
        model: sharded, or not.
        spec: from which it was built.
        workers: that have the shards.
    """
    if not sharded_modules(model):
        return model
    state = model_state(model)
    if not workers.first:
        return model
    with torch.random.fork_rng(devices=[]):  # the fresh weights are thrown away
        built, _ = build_model(spec)
    built.load_state_dict(state)
    return built


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's ``state_dict``, of whole tensors.

    Of a sharded one every worker must ask; the first one's is on the CPU, the others' is empty.

    Example:
        >>> list(model_state(nn.Linear(2, 2)))
        ['weight', 'bias']
    """
    sharded = sharded_modules(model)
    if not sharded:
        return model.state_dict()
    # Torch's own takes a second to import.
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    reshard(sharded)  # a test leaves some of it whole
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: Any = get_model_state_dict(model, options=options)
    return dict(state)


def load_model_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The inverse of `model_state`; each worker takes its shards.

    Raises:
        RuntimeError: the state is of another model.
    """
    reshard(sharded_modules(model))
    mine = model.state_dict()
    model.load_state_dict({name: _like(value, mine.get(name)) for name, value in state.items()})


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's ``state_dict``, of whole tensors.

    Of a sharded one every worker must ask; the first one's shards come together on the CPU, one
    tensor at a time, and the others keep none. Torch's ``get_optimizer_state_dict`` is not used: it
    makes a step where there is no state yet, which would count as one of the training's.
    """
    state: dict[str, Any] = optimizer.state_dict()
    state["state"] = {
        number: {key: _collected(v) if isinstance(v, Tensor) else v for key, v in values.items()}
        for number, values in state["state"].items()
    }
    return state


def _collected(tensor: Tensor) -> Tensor | None:
    if not is_sharded(tensor):
        return tensor
    whole: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return whole.cpu() if torch.distributed.get_rank() == 0 else None


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """The inverse of `optimizer_state`; each worker takes its shards.

    Raises:
        ValueError: the state is of another optimizer.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {
        number: {
            key: _like(v, parameters[number]) if isinstance(v, Tensor) else v
            for key, v in values.items()
        }
        for number, values in state["state"].items()
        if number < len(parameters)  # else the optimizer itself tells that it does not fit
    }
    optimizer.load_state_dict({**state, "state": parts})


def _like(value: Tensor, like: Tensor | None) -> Tensor:
    """A whole tensor sharded as another one of its shape, if that is."""
    if like is None or not is_sharded(like) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # All workers have the same values: nothing needs to be sent.
    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
