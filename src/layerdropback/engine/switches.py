"""Switches that cut a module's output off from the graph, values unchanged.

A switch is a standing forward hook that reads one boolean on its own module: so a compiled block
has two graphs for each switch inside it, however many masks there are.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..model.nested import map_tensors

ATTRIBUTE = "_layerdropback_detached"


def install(module: nn.Module) -> Callable[[], None]:
    """Put an open switch on a module; the function that is returned takes it away.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 2)
        >>> remove = install(layer)
        >>> turn([layer], on=True)
        >>> layer(torch.ones(1, 2)).requires_grad
        False
        >>> remove()
        >>> layer(torch.ones(1, 2)).requires_grad
        True
    """
    handle = module.register_forward_hook(detach_output)
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


def show_to_compiler() -> None:
    """Have compiled graphs notice switches that come after them; in this process, from now on.

    torch.compile takes it that hooks neither come nor go. A graph that was made without a switch
    would go on to be used, for every block of the same kind, and cut nothing off. Graphs that were
    made so are forgotten, once, and made anew when they are needed.
    """
    import torch._dynamo.config as dynamo  # half of the compiler

    if dynamo.skip_nnmodule_hook_guards:
        dynamo.skip_nnmodule_hook_guards = False
        compiler: Any = torch.compiler
        compiler.reset()


def detach_output(module: nn.Module, args: Any, output: Any) -> Any:
    """The hook; a plain function, which torch.compile can trace."""
    if getattr(module, ATTRIBUTE, False):
        return map_tensors(Tensor.detach, output)
    return None
