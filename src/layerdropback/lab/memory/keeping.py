"""Optimizer states of blocks that have had their turn, where they are kept."""

from typing import Any

import torch
from torch import Tensor

from ...controller import LayerDropBack


def make_states_of_all_turns(ldb: LayerDropBack) -> None:
    """Give all that takes turns the states that it has later in the run.

    They are like those of a parameter that has some. Nothing happens unless the strategy keeps the
    states of what rests: others let them go, or take them off the device.
    """
    if ldb.settings.strategy.resting != "keep":
        return
    chances = ldb.stats()["drop_chances"]
    turns = (layer for layer in ldb.layers if chances.get(layer.name, 1.0) < 1)
    waiting = {p for layer in turns for p in layer.parameters if p.requires_grad}
    for optimizer in ldb.optimizers:
        found = [(parameter, state) for parameter, state in optimizer.state.items() if state]
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for parameter in held if found else ():
            if parameter in waiting and not optimizer.state.get(parameter):
                other, state = found[0]
                made = {key: _like(value, other, parameter) for key, value in state.items()}
                optimizer.state[parameter] = made


def _like(value: Any, other: Tensor, parameter: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.shape == other.shape:
        return torch.zeros_like(parameter, dtype=value.dtype)
    return value.clone()
