"""The state of a model and its optimizer, whole, however many workers hold shards of it.

One process, replicas and shards go on with each other's checkpoints: all save the same tensors.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ..interop.sharding import is_sharded, reshard, sharded_modules, whole


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """A model's ``state_dict``, of whole tensors; of a sharded one every worker must ask.

    Example:
        >>> list(model_state(nn.Linear(2, 2)))
        ['weight', 'bias']
    """
    reshard(sharded_modules(model))  # a test leaves some of it whole
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def load_model_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The inverse of `model_state`; each worker takes its shards.

    Raises:
        RuntimeError: the state is of another model.
    """
    reshard(sharded_modules(model))
    mine = model.state_dict()
    model.load_state_dict({name: _like(value, mine.get(name)) for name, value in state.items()})


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's ``state_dict``, of whole tensors; of a sharded one every worker must ask."""
    state: dict[str, Any] = optimizer.state_dict()
    state["state"] = {
        number: {key: whole(v) if isinstance(v, Tensor) else v for key, v in values.items()}
        for number, values in state["state"].items()
    }
    return state


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
