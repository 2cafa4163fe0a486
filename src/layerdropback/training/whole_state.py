"""The state of a model and its optimizer, whole, however many workers hold shards of it.

One process, replicas and shards go on with each other's checkpoints: all save the same tensors.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..interop.wrappers import is_sharded, reshard, sharded_modules


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
