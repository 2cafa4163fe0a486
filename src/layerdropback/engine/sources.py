"""Modules whose outputs require a gradient with no parameter before them.

``enable_input_require_grads`` of transformers makes one of the embedding, and it is common: it is
called by itself with gradient checkpointing. Backward would run down to it past every cut.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..interop.compiling import compiled_modules
from ..interop.wrappers import canonical_name
from ..model.nested import map_tensors


class Sources:
    """Finds such modules in a forward pass, and detaches their outputs there and then."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._handles: list[RemovableHandle] = []
        self._found: dict[str, None] = {}

    def look(self, arguments: Sequence[Tensor], running: nn.Module | None = None) -> None:
        """Look at every module's output until `stop`, but at no argument of the model.

        Nor at what is `running`: torch fails where a module's hooks change while they run.
        """
        self.stop()
        inside = {id(m) for _, block in compiled_modules(self._model) for m in block.modules()}
        given = {id(tensor) for tensor in arguments}
        for name, module in self._model.named_modules():
            scripted = isinstance(module, torch.jit.ScriptModule)  # takes no hooks
            if name and module is not running and not scripted and id(module) not in inside:
                hook = partial(_detach, self._found, canonical_name(name), given)
                self._handles.append(module.register_forward_hook(hook))

    def stop(self) -> tuple[str, ...]:
        """Look no longer; what was found."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        found = tuple(self._found)
        self._found.clear()
        return found


def _detach(
    found: dict[str, None], name: str, given: set[int], module: nn.Module, args: Any, output: Any
) -> Any:
    """The hook, which comes after all others on its module."""
    made: list[Tensor] = []

    def detached(tensor: Tensor) -> Tensor:
        users = id(tensor) in given or isinstance(tensor, nn.Parameter)
        if users or not tensor.requires_grad or not tensor.is_leaf:
            return tensor
        found[name] = None
        made.append(tensor)
        return tensor.detach()

    changed = map_tensors(detached, output)
    return changed if made else None
