"""Copies and pickles of a model that carry none of this library's hooks; scripts are refused."""

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from ..errors import AttachError, explain
from ..interop.private import FACT_TABLES, HOOK_TABLES
from .hooks import WeakHook
from .switches import ATTRIBUTE, detach_output

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
        original = reference()
        before()
        with _hidden(original):
            return copy.deepcopy(original, memo)

    def reduce(protocol: int) -> Any:
        original = reference()
        before()
        with _hidden(original):
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
    mine = {"__deepcopy__": deepcopy, "__reduce_ex__": reduce}
    mine["__prepare_scriptable__"] = _refuse_script
    users = {name: attributes[name] for name in _COPYING if name in attributes}
    attributes.update({_BEFORE: users, **mine})
    return undo


def _refuse_script() -> None:
    fact = "torch.jit.script was called with a model that LayerDropBack is attached to"
    cause, cure = "its hooks would be compiled, too", "detach() first, or script a copy.deepcopy"
    raise AttachError([explain(fact, cause, cure)], "cannot script the model")


@contextlib.contextmanager
def _hidden(module: Any) -> Iterator[None]:
    """The module without this library's entries, in tables of their own that a copy may keep."""
    attributes = vars(module)
    mine = {
        number
        for table in HOOK_TABLES
        for number, hook in attributes[table].items()
        if isinstance(hook, WeakHook) or hook is detach_output
    }
    hidden = {table: attributes[table] for table in (*HOOK_TABLES, *FACT_TABLES)}
    users = attributes.get(_BEFORE, {})
    hidden |= {name: attributes.pop(name) for name in _OWN_NAMES if name in attributes}
    for name in (*HOOK_TABLES, *FACT_TABLES):
        kept = ((number, entry) for number, entry in hidden[name].items() if number not in mine)
        attributes[name] = type(hidden[name])(kept)
    attributes.update(users)
    try:
        yield
    finally:
        attributes.update(hidden)
