"""Parts of a model that a loop calls by themselves; each such call is a forward pass, too.

A ``training_step`` of Lightning calls ``self.net(x)``, and the loop of a GAN the generator and the
discriminator of one module. Which way a loop does it shows in its first step.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from ..interop.private import is_compiled_in_place, node_number
from ..model.graph import leads_to

_SEEN_THROUGH = "_layerdropback_seen_through"


def see_through(module: nn.Module, through: bool = True) -> None:
    """A call of this module is no forward pass from now on; calls inside of it are.

    For frameworks whose call of a model makes whole steps, those of its optimizers included. Inside
    of such a call the module may call itself, and that is a forward pass.

    Args:
        module: of whose hooks the outermost call is ignored.
        through: whether to; False takes it back, and leaves no trace.
    """
    if through:
        vars(module)[_SEEN_THROUGH] = True
    else:
        vars(module).pop(_SEEN_THROUGH, None)


def is_seen_through(module: nn.Module) -> bool:
    """Whether `see_through` was called with it."""
    return _SEEN_THROUGH in vars(module)


def parts_of(model: nn.Module) -> Iterator[nn.Module]:
    """The modules nearest below a model that can be called and hooked, each once.

    Example:
        >>> model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 2)), "head": nn.Linear(2, 2)})
        >>> [type(part).__name__ for part in parts_of(model)]
        ['Sequential', 'Linear']
    """
    for child in model.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):  # cannot be called
            yield from parts_of(child)
        elif _has_passes(child):
            yield child


def _has_passes(module: nn.Module) -> bool:
    """Whether a call of it can be seen, and anything in it can be dropped."""
    hidden = isinstance(module, torch.jit.ScriptModule) or is_compiled_in_place(module)
    return not hidden and any(True for _ in module.parameters())


class Parts:
    """Which calls were forward passes of the window, and what they made.

    Attributes:
        made: numbers of the nodes of all outputs so far.
    """

    def __init__(self) -> None:
        self._whole = False
        self._some = False
        self._around = 0  # running calls of modules that are seen through
        self.made: set[int] = set()
        self._handles: list[RemovableHandle] = []

    def hook(self, handles: Iterable[RemovableHandle]) -> None:
        """Hooks on parts, which go when the model itself is called and none of its parts is."""
        self._handles += handles

    def enter(self, module: nn.Module) -> bool:
        """A call begins; whether it can be a forward pass, and is not just around some."""
        if not is_seen_through(module):
            return True
        self._around += 1
        return self._around > 1

    @property
    def are_inside(self) -> bool:
        """Whether passes are made inside of a call that is seen through."""
        return self._around > 0

    def leave(self, module: nn.Module) -> None:
        """A call has ended, or was broken off."""
        if is_seen_through(module):
            self._around -= 1

    def called(self, whole: bool) -> None:
        """A forward pass begins, of the model or of a part."""
        self._whole |= whole
        self._some |= not whole

    def saw_outputs(self, roots: Iterable[Node]) -> None:
        """A forward pass has ended with these outputs."""
        self.made.update(map(node_number, roots))

    def is_own(self, argument: Tensor) -> bool:
        """Whether an argument comes from an earlier pass of the window, and not from the user."""
        return leads_to(argument.grad_fn, self.made)

    def end_window(self) -> None:
        """Every optimizer has stepped."""
        if self._whole and not self._some:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()
        self._whole = self._some = False
        self.made.clear()
