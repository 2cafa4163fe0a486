"""Which module made which nodes of the graph, noted by hooks for one forward pass."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..interop.private import next_number, node_number
from ..interop.wrappers import canonical_name
from .graph import graph_roots


@dataclass
class ModuleCall:
    """One call of a module, by the numbers of the graph's nodes.

    Attributes:
        begin: of the next node, when it began.
        end: of the next node, when it ended.
        outputs: of its outputs' nodes.
    """

    begin: int
    end: int = -1
    outputs: list[int] = field(default_factory=list)


class ModuleCalls:
    """Notes the calls of a model's modules, the root left out, by their canonical names.

    Args:
        model: whose modules.
        running: whose call has begun; torch fails where its hooks change while they run.
    """

    def __init__(self, model: nn.Module, running: nn.Module | None = None):
        self.calls: dict[str, list[ModuleCall]] = defaultdict(list)
        self._handles: list[RemovableHandle] = []
        for name, module in model.named_modules():
            scripted = isinstance(module, torch.jit.ScriptModule)  # takes no hooks
            if name and module is not running and not scripted:
                calls = self.calls[canonical_name(name)]
                self._handles.append(module.register_forward_pre_hook(partial(_begin, calls)))
                self._handles.append(module.register_forward_hook(partial(_end, calls)))

    def stop(self) -> Mapping[str, list[ModuleCall]]:
        """Watch no longer; all calls so far."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        return self.calls


def _begin(calls: list[ModuleCall], module: nn.Module, args: Any) -> None:
    calls.append(ModuleCall(next_number()))


def _end(calls: list[ModuleCall], module: nn.Module, args: Any, output: Any) -> None:
    calls[-1].outputs = [node_number(node) for node in graph_roots(output)]
    calls[-1].end = next_number()
