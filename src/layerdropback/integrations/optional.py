"""Frameworks that need not be installed."""

from importlib import import_module
from types import ModuleType

from ..errors import explain


def framework(*names: str, extra: str) -> ModuleType:
    """The first of these modules that is installed.

    Raises:
        ModuleNotFoundError: none is; its text names the extra that brings it.

    Example:
        >>> framework("json", extra="none").__name__
        'json'
    """
    for name in names:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise  # something that the framework itself needs
    wanted = " or ".join(dict.fromkeys(name.partition(".")[0] for name in names))
    cure = f"pip install 'layerdropback[{extra}]'"
    fact = f"this callback needs the package {wanted}"
    raise ModuleNotFoundError(explain(fact, f"the extra {extra!r} is not installed", cure))
