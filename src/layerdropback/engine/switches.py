"""What is done to modules' outputs in drop steps: they are cut off, or made to have gradients.

A switch detaches its module's output while it is on. It is a standing forward hook that reads one
boolean on its own module: so a compiled block has two graphs for each switch inside it, however
many masks there are. `Sources` finds where there must be one besides those that masks ask for:
``enable_input_require_grads`` of transformers makes the embedding's output require a gradient, by
itself with gradient checkpointing, and backward would run down to it past every cut.

`through_gate` is for loops that ask for gradients by name (multi-task methods, MAML).
``torch.autograd.grad(loss, parameters)`` refuses a parameter that has no part in the graph, as
those of dropped layers have none. With one more node behind the outputs they have a gradient of 0.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..interop.compiling import compiled_modules, show_hooks_to_compiler
from ..interop.private import is_asked_for_by_name
from ..interop.wrappers import hookable_modules, named_modules
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
        wanted = dict.fromkeys(sources, True) | dict.fromkeys(names, False)
        new = {name: leaves for name, leaves in wanted.items() if name not in self._switched}
        modules = named_modules(self._model) if new else {}
        for name, leaves in new.items():
            module = self._switched[name] = modules[name]
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


class Sources:
    """Finds modules whose outputs require a gradient with no parameter before them.

    It does so in a forward pass, and detaches their outputs there and then.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._hooks = contextlib.ExitStack()
        self._found: dict[str, None] = {}

    def look(self, arguments: Sequence[Tensor], running: nn.Module | None = None) -> None:
        """Look at every module's output until `stop`, but at no argument of the model.

        Nor at what is `running`: torch fails where a module's hooks change while they run.
        """
        self.stop()
        inside = {id(m) for _, block in compiled_modules(self._model) for m in block.modules()}
        given = {id(tensor) for tensor in arguments}
        for name, module in hookable_modules(self._model, running):
            if id(module) not in inside:
                hook = partial(_detach, self._found, name, given)
                self._hooks.callback(module.register_forward_hook(hook).remove)

    def stop(self) -> tuple[str, ...]:
        """Look no longer; what was found."""
        self._hooks.close()
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


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, *parameters: Tensor) -> Tensor:
        ctx.parameters = parameters
        return output.clone()  # what is a view could not be changed in place any more

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        # A plain backward() of the same loop leaves them without a gradient.
        asked = (p if is_asked_for_by_name(p) else None for p in ctx.parameters)
        return gradients[0], *(None if p is None else _Zeros.apply(gradients[0], p) for p in asked)


class _Zeros(torch.autograd.Function):
    """With a part in the graph, for the gradient of a gradient."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, parameter: Tensor) -> Tensor:
        ctx.gradient = torch.empty_like(gradient, device="meta")
        return torch.zeros_like(parameter)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return torch.zeros_like(ctx.gradient, device=gradients[0].device), None


def through_gate(outputs: Any, parameters: Sequence[nn.Parameter]) -> Any:
    """The same outputs, with a graph in which these parameters have a gradient of zero."""

    def passed(tensor: Tensor) -> Tensor:
        made: Tensor = _Gate.apply(tensor, *parameters) if tensor.requires_grad else tensor
        return made

    return map_tensors(passed, outputs)
