"""Hooks that hold nothing alive."""

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import torch

# Asked by code that torch.export traces; releases without it have an export that fails there.
_is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", bool)


class WeakHook:
    """Calls a method of its owner while the owner lives; a copy of the hook calls nothing."""

    __name__ = "layerdropback_hook"  # torch.jit asks every hook for one

    # Calls a method without being traced by torch.compile: hooks decide anew in every step. Made
    # with the first hook, for it imports half of the compiler.
    _in_python: ClassVar[Callable[..., Any] | None] = None

    def __init__(self, method: Callable[..., Any] | None = None):
        self._method = None if method is None else weakref.WeakMethod(method)
        if WeakHook._in_python is None:
            disabled = torch.compiler.disable(_call)  # type: ignore[no-untyped-call]
            WeakHook._in_python = staticmethod(disabled)

    def __call__(self, *args: Any) -> Any:
        """Pass the call on, but not into a graph that is exported."""
        if _is_exporting():
            return None
        run = WeakHook._in_python
        return None if run is None or self._method is None else run(self._method(), args)

    @property
    def alive(self) -> bool:
        """Whether the owner still exists."""
        return self._method is not None and self._method() is not None

    def __reduce__(self) -> tuple[type["WeakHook"], tuple[()]]:
        return WeakHook, ()


def _call(method: Callable[..., Any] | None, args: tuple[Any, ...]) -> Any:
    return None if method is None else method(*args)
