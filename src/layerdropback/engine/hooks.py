"""Hooks that hold nothing alive, also on a step that raises, and that no copy of a model has."""

import contextlib
import copy
import functools
import weakref
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from ..errors import AttachError, explain
from ..interop.private import FACT_TABLES, HOOK_TABLES
from .switches import ATTRIBUTE, detach_leaves, detach_output

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


def put_around(optimizer: Optimizer, name: str, run: Callable[..., Any]) -> Callable[[], None]:
    """Have a method of this one optimizer called by `run`, which gets it and its arguments.

    Like torch's own schedulers it puts a function before the method on this one instance. What is
    returned undoes it. Where a scheduler has put itself before this one in the meantime it stays in
    the chain, and does nothing more than pass the call on.
    """
    before, method = vars(optimizer).get(name), getattr(optimizer, name)
    bound = isinstance(method, MethodType)
    function: Callable[..., Any] = getattr(method, "__func__", method)
    reference, active = weakref.ref(optimizer), True

    @functools.wraps(function)
    def called(self: Optimizer, /, *args: Any, **kwargs: Any) -> Any:
        given = (self, *args) if bound else args
        return run(function, *given, **kwargs) if active else function(*given, **kwargs)

    def undo() -> None:
        nonlocal active
        active = False
        this = reference()
        if this is not None and getattr(vars(this).get(name), "__func__", None) is called:
            del vars(this)[name]
            vars(this).update({} if before is None else {name: before})

    vars(optimizer)[name] = MethodType(called, optimizer)
    return undo


def on_failed_step(optimizer: Optimizer, react: Callable[[], object]) -> Callable[[], None]:
    """Call `react` when ``optimizer.step()`` raises, which skips the optimizer's post hooks."""

    def guarded(step: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return step(*args, **kwargs)
        except BaseException:  # Ctrl-C too; it goes on to the caller
            react()
            raise

    return put_around(optimizer, "step", guarded)


# What copy, pickle and torch.jit.script ask an object for before they look at its class.
_COPYING = ("__deepcopy__", "__reduce_ex__", "__prepare_scriptable__")
_BEFORE = "_layerdropback_copying"  # the user's own of these, if there are any
_OWN_NAMES = (*_COPYING, ATTRIBUTE, _BEFORE)


def hide_from_copies(module: nn.Module, before: Callable[[], object]) -> Callable[[], None]:
    """Make ``copy.deepcopy`` and ``pickle`` of `module` leave the hooks of this library out.

    A copy is a model of its own (an average of weights, a snapshot); it must not toggle anything.
    `before` is called before each copy is made, to put flags back. What is returned undoes it.
    """
    reference = weakref.ref(module)

    def deepcopy(memo: dict[int, Any]) -> Any:
        before()
        with _hidden(reference()) as original:
            return copy.deepcopy(original, memo)

    def reduce(protocol: int) -> Any:
        before()
        with _hidden(reference()) as original:
            reduced: Any = original.__reduce_ex__(protocol)  # the user's own, or the class's
            if isinstance(reduced, str):
                return reduced
            # The state is the module's own dictionary, which will have the hooks again.
            return tuple(dict(part) if part is vars(original) else part for part in reduced)

    def undo() -> None:
        original = reference()
        if original is None or vars(original).get(_BEFORE) is not users:
            return  # it is undone already
        for name, ours in mine.items():
            if vars(original)[name] is ours:  # else the user has put another there since
                del vars(original)[name]
                vars(original).update({name: users[name]} if name in users else {})
        del vars(original)[_BEFORE]

    # Not by setattr, which the wrapper of torch.compile passes on to the module inside it.
    attributes = vars(module)
    if _BEFORE in attributes:
        return lambda: None  # hidden already
    mine = dict(zip(_COPYING, (deepcopy, reduce, _refuse_script), strict=True))
    users = {name: attributes[name] for name in _COPYING if name in attributes}
    attributes.update({_BEFORE: users, **mine})
    return undo


def _refuse_script() -> None:
    fact = "torch.jit.script was called with a model that LayerDropBack is attached to"
    cause, cure = "its hooks would be compiled, too", "detach() first, or script a copy.deepcopy"
    raise AttachError([explain(fact, cause, cure)], "cannot script the model")


@contextlib.contextmanager
def _hidden(module: Any) -> Iterator[Any]:
    """The module without this library's entries, in tables of their own that a copy may keep."""
    attributes = vars(module)
    mine = {
        number
        for table in HOOK_TABLES
        for number, hook in attributes[table].items()
        if isinstance(hook, WeakHook) or hook in (detach_output, detach_leaves)
    }
    hidden = {table: attributes[table] for table in (*HOOK_TABLES, *FACT_TABLES)}
    users = attributes.get(_BEFORE, {})
    hidden |= {name: attributes.pop(name) for name in _OWN_NAMES if name in attributes}
    for name in (*HOOK_TABLES, *FACT_TABLES):
        kept = ((number, entry) for number, entry in hidden[name].items() if number not in mine)
        attributes[name] = type(hidden[name])(kept)
    attributes.update(users)
    try:
        yield module
    finally:
        attributes.update(hidden)
