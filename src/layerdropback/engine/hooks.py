"""Hooks that leave no trace: weak, absent from copies, removed as one."""

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

from .switches import ATTRIBUTE, detach_output


class WeakHook:
    """Calls a method of its owner while the owner lives; a copy of the hook calls nothing.

    Example:
        >>> class Owner:
        ...     def hello(self, name):
        ...         return f"hello {name}"
        >>> owner = Owner()
        >>> hook = WeakHook(owner.hello)
        >>> hook("you")
        'hello you'
        >>> del owner
        >>> hook("you")
    """

    __name__ = "layerdropback_hook"  # torch.jit asks every hook for one

    # Calls a method without being traced by torch.compile: hooks decide anew in every step. Made
    # with the first hook, for it imports half of the compiler.
    _in_python: ClassVar[Callable[..., Any] | None] = None

    def __init__(self, method: Callable[..., Any]):
        self._method: Callable[[], Callable[..., Any] | None] = weakref.WeakMethod(method)
        if WeakHook._in_python is None:
            disabled = torch.compiler.disable(_call)  # type: ignore[no-untyped-call]
            WeakHook._in_python = staticmethod(disabled)

    def __call__(self, *args: Any) -> Any:
        """Pass the call on."""
        run = WeakHook._in_python
        return None if run is None else run(self._method(), args)

    @property
    def alive(self) -> bool:
        """Whether the owner still exists."""
        return self._method() is not None

    def __reduce__(self) -> tuple[Callable[[], "WeakHook"], tuple[()]]:
        return _dead_hook, ()


def _call(method: Callable[..., Any] | None, args: tuple[Any, ...]) -> Any:
    return None if method is None else method(*args)


def _dead_hook() -> WeakHook:
    hook = WeakHook.__new__(WeakHook)
    hook._method = _nothing
    return hook


def _nothing() -> None:
    """What a dead weak reference returns."""


# Tables of a module that hold hooks by number, or facts about the hooks of those numbers.
_HOOK_TABLES = ("_forward_pre_hooks", "_forward_hooks")
_FACT_TABLES = ("_forward_hooks_always_called",)

# What copy and pickle ask an object for before they look at its class.
_COPYING = ("__deepcopy__", "__reduce_ex__")
_OWN_NAMES = (*_COPYING, ATTRIBUTE)


def hide_from_copies(module: nn.Module, before: Callable[[], object]) -> Callable[[], None]:
    """Make ``copy.deepcopy`` and ``pickle`` of `module` leave the hooks of this library out.

    A copy is a model of its own (an average of weights, a snapshot); it must not toggle anything.

    Args:
        module: whose hooks to hide.
        before: called before each copy is made, to put flags back.

    Returns:
        A function that undoes it.
    """
    reference = weakref.ref(module)

    def deepcopy(memo: dict[int, Any]) -> Any:
        original = reference()
        before()
        with _hidden(original):
            return copy.deepcopy(original, memo)

    def reduce(protocol: int) -> Any:
        original = reference()
        before()
        kind: Any = type(original)
        with _hidden(original):
            reduced = kind.__reduce_ex__(original, protocol)
            # The state is the module's own dictionary, which will have the hooks again.
            return tuple(dict(part) if part is vars(original) else part for part in reduced)

    def undo() -> None:
        original = reference()
        if original is not None and vars(original).get("__deepcopy__") is deepcopy:
            for name in _COPYING:
                del vars(original)[name]

    # Not by setattr, which the wrapper of torch.compile passes on to the module inside it.
    vars(module).update(__deepcopy__=deepcopy, __reduce_ex__=reduce)
    return undo


@contextlib.contextmanager
def _hidden(module: Any) -> Iterator[None]:
    """The module without this library's entries, in tables of their own that a copy may keep."""
    attributes = vars(module)
    mine = {
        number
        for table in _HOOK_TABLES
        for number, hook in attributes[table].items()
        if isinstance(hook, WeakHook) or hook is detach_output
    }
    hidden = {table: attributes[table] for table in (*_HOOK_TABLES, *_FACT_TABLES)}
    hidden |= {name: attributes.pop(name) for name in _OWN_NAMES if name in attributes}
    for name in (*_HOOK_TABLES, *_FACT_TABLES):
        kept = ((number, entry) for number, entry in hidden[name].items() if number not in mine)
        attributes[name] = type(hidden[name])(kept)
    try:
        yield
    finally:
        attributes.update(hidden)


def on_failed_step(optimizer: Optimizer, react: Callable[[], object]) -> Callable[[], None]:
    """Call `react` when ``optimizer.step()`` raises, which skips the optimizer's post hooks.

    Like torch's own schedulers it puts a function before the method on this one instance. `react`
    should hold no strong reference to the optimizer.

    Returns:
        A function that undoes it. Where a scheduler has put itself before this one in the meantime
        it stays in the chain, and does nothing more than pass the call on.
    """
    before = vars(optimizer).get("step")
    bound = isinstance(optimizer.step, MethodType)
    function: Callable[..., Any] = getattr(optimizer.step, "__func__", optimizer.step)
    reference = weakref.ref(optimizer)
    active = True

    @functools.wraps(function)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs) if bound else function(*args, **kwargs)
        except BaseException:  # Ctrl-C too; it goes on to the caller
            if active:
                react()
            raise

    def undo() -> None:
        nonlocal active
        active = False
        this = reference()
        if this is not None and getattr(vars(this).get("step"), "__func__", None) is step:
            if before is None:
                del this.step
            else:
                this.step = before  # type: ignore[method-assign]

    optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]
    return undo
