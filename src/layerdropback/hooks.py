"""Hooks that leave no trace: weak, absent from copies, removed as one."""

import functools
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

from torch import nn
from torch.optim import Optimizer


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

    def __init__(self, method: Callable[..., Any]):
        self._method: Callable[[], Callable[..., Any] | None] = weakref.WeakMethod(method)

    def __call__(self, *args: Any) -> Any:
        """Pass the call on."""
        method = self._method()
        return None if method is None else method(*args)

    @property
    def alive(self) -> bool:
        """Whether the owner still exists."""
        return self._method() is not None

    def __reduce__(self) -> tuple[Callable[[], "WeakHook"], tuple[()]]:
        return _dead_hook, ()


def _dead_hook() -> WeakHook:
    hook = WeakHook.__new__(WeakHook)
    hook._method = _nothing
    return hook


def _nothing() -> None:
    """What a dead weak reference returns."""


_HOOK_TABLES = ("_forward_pre_hooks", "_forward_hooks")


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

    def reduce(protocol: int) -> Any:
        before()
        original = reference()
        kind: Any = type(original)
        reduced = kind.__reduce_ex__(original, protocol)
        state = reduced[2] if len(reduced) > 2 else None
        if not isinstance(state, dict):
            return reduced
        state = {key: value for key, value in state.items() if value is not reduce}
        for table in _HOOK_TABLES:
            if table in state:
                hooks = state[table].items()
                kept = ((key, hook) for key, hook in hooks if not isinstance(hook, WeakHook))
                state[table] = type(state[table])(kept)
        return (*reduced[:2], state, *reduced[3:])

    def undo() -> None:
        original = reference()
        if original is not None and vars(original).get("__reduce_ex__") is reduce:
            del original.__reduce_ex__

    module.__reduce_ex__ = reduce  # type: ignore[assignment]
    return undo


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
    # The plain function: a bound method in the closure would tie the optimizer into a cycle.
    function: Callable[..., Any] = getattr(optimizer.step, "__func__", optimizer.step)
    reference = weakref.ref(optimizer)
    active = True

    @functools.wraps(function)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(self, *args, **kwargs) if bound else function(*args, **kwargs)
        except BaseException:
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
