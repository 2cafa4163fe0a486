"""What is to be done when ``optimizer.step()`` raises."""

import functools
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any

from torch.optim import Optimizer


def on_failed_step(optimizer: Optimizer, react: Callable[[], object]) -> Callable[[], None]:
    """Call `react` when ``optimizer.step()`` raises, which skips the optimizer's post hooks.

    Like torch's own schedulers it puts a function before the method on this one instance. What is
    returned undoes it. Where a scheduler has put itself before this one in the meantime it stays in
    the chain, and does nothing more than pass the call on.
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
