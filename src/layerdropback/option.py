"""Fields that a user sets: their default, their words on the command line, and what is wrong."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from numbers import Integral, Real
from typing import Any, Literal, get_args

from .errors import AttachError, explain

# What drops as one; see `find_layers`.
Unit = Literal["layer", "block", "tensor"]
UNITS: tuple[str, ...] = get_args(Unit)


def option(
    default: Any,
    text: str,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
    group: str = "Dropping",
) -> Any:
    """A dataclass field that is a flag of the command line, too.

    Its default stands nowhere else; `text` and `choices` are what the command line says of it,
    `flag` its name there and in a settings file, where that is not the field's own, and `group`
    the heading of the help that it stands under.
    """
    said = {"help": text, "choices": choices, "flag": flag, "group": group}
    return field(default=default, metadata=said)


def unusable(good: bool, name: str, value: object, cause: str, cure: str) -> Iterator[str]:
    """The problem of a value, if it has one."""
    if not good:
        yield explain(f"{name}={value!r} is not usable", cause, cure)


def unknown(choices: tuple[str, ...], name: str, value: object) -> Iterator[str]:
    """The problem of a word that is none of some."""
    cure = f"give one of {', '.join(choices)}"
    good = isinstance(value, str) and value in choices
    yield from unusable(good, name, value, f"there is no such {name}", cure)


def pool_problems(pool: object) -> Iterator[str]:
    """What is wrong with the size of a pool of masks."""
    good = pool is None or (is_count(pool, 2) and int(pool) <= 4096)  # type: ignore[call-overload]
    cure = "give an integer from 2 to 4096, or None"
    yield from unusable(good, "pool", pool, "a pool holds some masks", cure)


def share_problems(name: str, value: object, cause: str) -> Iterator[str]:
    """What is wrong with a number that should be in [0, 1)."""
    cure = "give a number in [0, 1), 0 for plain training"
    yield from unusable(is_share(value), name, value, cause, cure)


def require(problems: Iterable[str], what: str) -> None:
    """Raise the problems that there are, if any, as those of making `what`."""
    found = list(problems)
    if found:
        raise AttachError(found, f"cannot make this {what}")


def names_of(names: object) -> object:
    """What was given as some names, as a tuple; anything else stays to be refused.

    A set's are sorted: each process has another order of them.
    """
    if isinstance(names, set | frozenset):
        return tuple(sorted(names, key=str))
    return tuple(names) if isinstance(names, list | tuple) else names


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no bool."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def is_share(value: object) -> bool:
    """Whether it is a number in [0, 1)."""
    return is_number(value) and 0 <= value < 1  # type: ignore[operator]


def is_count(value: object, least: int = 0) -> bool:
    """Whether it is a whole number from `least` on, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def plain(value: Any) -> Any:
    """A value in the types that JSON has: tuples become lists, sets too, numpy's numbers Python's.

    Example:
        >>> plain({"a": ("b",), "c": {"e", "d"}})
        {'a': ['b'], 'c': ['d', 'e']}
    """
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
