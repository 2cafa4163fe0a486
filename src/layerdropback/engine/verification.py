"""Proof, step by step, that dropped layers stood still and kept ones had gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..errors import VerificationError, explain
from ..interop.private import stored_values

Named = tuple[str, str, nn.Parameter]  # the layer's name, the parameter's name, the parameter


class Verifier:
    """Compares dropped parameters and their optimizer state before and after one step.

    At most `limit` numbers of each tensor, from its start: a weight that momentum or decay moves
    changes nearly everywhere, so a few show it.
    """

    def __init__(self, limit: int | None = None):
        self._limit = limit
        self._before: list[tuple[Named, dict[str, Any]]] = []

    def before(self, optimizer: Optimizer, dropped: Iterable[Named]) -> None:
        """Remember the state before the step; costs a copy of what is compared."""
        self._before = [(entry, self._snapshot(optimizer, entry[2])) for entry in dropped]

    def after(self, optimizer: Optimizer, step: int) -> None:
        """Compare; a `VerificationError` names the first parameter that moved."""
        pairs, self._before = self._before, []
        for (layer, name, parameter), old in pairs:
            new = self._snapshot(optimizer, parameter)
            changed = [key for key in old | new if not _same(old.get(key), new.get(key))]
            if changed:
                kind = type(optimizer).__name__
                raise VerificationError(
                    explain(
                        f"layer {layer!r} was dropped in step {step}, but {kind} changed the "
                        f"{changed[0]} of its parameter {name!r}",
                        f"{kind} does not skip a parameter whose gradient is None",
                        "use an optimizer that does (all of torch.optim but LBFGS), or keep the "
                        "layer with keep=[...]",
                    )
                )

    def _snapshot(self, optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Any]:
        # .get: a mere look at a defaultdict would make an entry
        state: dict[str, Any] = optimizer.state.get(parameter) or {}
        entries = {"value": parameter} | {f"state {key!r}": value for key, value in state.items()}
        return {key: self._copy(value) for key, value in entries.items()}

    def _copy(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        local = value.to_local() if hasattr(value, "to_local") else value  # a shard of FSDP2
        return stored_values(local.detach()).flatten()[: self._limit].clone()


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        # NaN equals NaN here: a broken weight that stood still has not moved
        return old.shape == new.shape and bool(((old == new) | (old.isnan() & new.isnan())).all())
    return type(old) is type(new) and (old is new or bool(old == new))


def check_gradients(kept: Iterable[Named], step: int) -> None:
    """Raise a `VerificationError` where a kept parameter that the loss reaches has no gradient."""
    for layer, name, parameter in kept:
        if parameter.requires_grad and parameter.grad is None:
            raise VerificationError(
                explain(
                    f"layer {layer!r} was kept in step {step}, but its parameter {name!r} has no "
                    "gradient",
                    "the loss did not reach it, though it did in the recorded full step: the model "
                    "skips layers at random, a compiled graph is stale, or .grad was cleared",
                    "train with verify=False if the model skips layers itself; otherwise compile "
                    "block by block with unit='block', and report it",
                )
            )
