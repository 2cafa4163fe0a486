"""What torch.compile does to a model, and what has to be so while layers drop."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from . import private
from .wrappers import canonical_name

# From this release on, a compiled graph notices that `requires_grad` was toggled (pytorch#139476).
_SEES_FLAGS = (2, 12)

# The node that stands for a graph that torch.compile made.
COMPILED = "CompiledFunctionBackward"

_watchers = 0
_ignored_before = False


def compile_ignores_flags() -> bool:
    """Whether this torch compiles graphs that silently ignore ``requires_grad``."""
    release = torch.__version__.split("+")[0].split(".")
    return (int(release[0]), int(release[1])) < _SEES_FLAGS


def compiled_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of `model` that are compiled as one piece, with their names."""
    for name, module in model.named_modules():
        if private.is_compile_wrapper(module) or private.is_compiled_in_place(module):
            yield canonical_name(name) or "(the whole model)", module


def eagerly() -> AbstractContextManager[Any]:
    """While it is entered, compiled modules run uncompiled, so that their graph can be read."""
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def is_being_exported() -> bool:
    """Whether the forward pass is traced or exported, so that nothing of it may change."""
    return bool(
        torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
        or torch.onnx.is_in_onnx_export()
    )


def show_hooks_to_compiler() -> Callable[[], None]:
    """Have compiled graphs notice hooks that come after them, until the result is called.

    torch.compile takes it that hooks neither come nor go. A graph that was made without a hook
    would go on to be used, for every block of the same kind. Graphs that were made so are
    forgotten, once, and made anew when they are needed.
    """
    global _watchers, _ignored_before
    if _watchers == 0:
        _ignored_before = private.ignores_new_hooks(False)
        if _ignored_before:
            compiler: Any = torch.compiler
            compiler.reset()
    _watchers += 1
    shown = True

    def hide() -> None:
        global _watchers
        nonlocal shown
        _watchers -= shown
        if shown and _watchers == 0:
            private.ignores_new_hooks(_ignored_before)
        shown = False

    return hide
