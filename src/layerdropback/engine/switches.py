"""Switches that cut a module's output off from the graph, values unchanged.

A switch is a standing forward hook that reads one boolean on its own module: so a compiled block
has two graphs for each switch inside it, however many masks there are.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from ..interop.compiling import compiled_modules, show_hooks_to_compiler
from ..interop.wrappers import named_module
from ..model.nested import map_tensors

ATTRIBUTE = "_layerdropback_detached"


def install(module: nn.Module, leaves: bool = False) -> Callable[[], None]:
    """Put an open switch on a module; the function that is returned takes it away.

    With `leaves` it detaches nothing that a parameter which trains is behind.
    """
    handle = module.register_forward_hook(detach_leaves if leaves else detach_output)
    # Not by setattr, which the wrapper of torch.compile passes on to the module inside it.
    vars(module)[ATTRIBUTE] = False

    def remove() -> None:
        handle.remove()
        vars(module).pop(ATTRIBUTE, None)

    return remove


def turn(modules: Iterable[nn.Module], on: bool) -> None:
    """Detach the outputs of these modules from now on, or no longer, where they have a switch."""
    for module in modules:
        if ATTRIBUTE in vars(module):
            vars(module)[ATTRIBUTE] = on


def detach_output(module: nn.Module, args: Any, output: Any) -> Any:
    """The hook; a plain function, which torch.compile can trace."""
    if getattr(module, ATTRIBUTE, False):
        return map_tensors(Tensor.detach, output)
    return None


def detach_leaves(module: nn.Module, args: Any, output: Any) -> Any:
    """The hook for what requires a gradient with no parameter before it."""
    if getattr(module, ATTRIBUTE, False):
        return map_tensors(lambda tensor: tensor.detach() if tensor.is_leaf else tensor, output)
    return None


class Switches:
    """The switches of one model; `hide` makes copies of a module leave its switch out.

    Closing `traces` takes every switch away.
    """

    def __init__(
        self,
        model: nn.Module,
        hide: Callable[[nn.Module], Callable[[], None]],
        traces: contextlib.ExitStack,
    ):
        self._model, self._hide, self._traces = model, hide, traces
        self._switched: dict[str, nn.Module] = {}
        self._shown = False

    def install(self, names: Iterable[str], sources: Iterable[str] = ()) -> None:
        """Put a switch on each module of these names, unless there is one.

        Of `sources` only leaves are detached: where more is trained than when they were found, they
        are none.
        """
        found = dict.fromkeys(names, False)
        for name, leaves in (dict.fromkeys(sources, True) | found).items():
            if name not in self._switched:
                module = named_module(self._model, name)
                self._switched[name] = module
                self._traces.callback(install(module, leaves))
                self._traces.callback(self._hide(module))
        self.show()

    def show(self) -> None:
        """Have compiled modules, also those that were compiled since, notice the switches."""
        if self._switched and not self._shown and any(True for _ in compiled_modules(self._model)):
            self._shown = True
            self._traces.callback(show_hooks_to_compiler())

    def modules(self, names: Iterable[str]) -> tuple[nn.Module, ...]:
        """The modules of these names."""
        return tuple(self._switched[name] for name in names)
