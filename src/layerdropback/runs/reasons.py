"""Errors in one line: another library's, and those of values that make no sense."""

import re
import textwrap

from ..errors import UsageError, explain

# What colours a terminal's text.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def reason(error: BaseException) -> str:
    r"""What an error says, in one line of bearable length, to be followed by a full stop.

    Example:
        >>> reason(RuntimeError("no such\n   file."))
        'no such file'
        >>> reason(MemoryError())
        'MemoryError'
    """
    plain = _COLOURS.sub("", str(error))
    text = textwrap.shorten(plain, 400, placeholder=" ...").rstrip(".")
    return text or type(error).__name__


def require(good: bool, fact: str, cause: str) -> None:
    """Refuse a value of the user's unless it is good.

    Args:
        good: whether it is.
        fact: the flag and the value.
        cause: what is needed.

    Raises:
        UsageError: it is not.

    Example:
        >>> require(3 > 5, "--seeds 3", "five are needed")
        Traceback (most recent call last):
        ...
        layerdropback.errors.UsageError: --seeds 3 is not usable. Cause: five are needed. \
Cure: give one.
    """
    if not good:
        raise UsageError(explain(f"{fact} is not usable", cause, "give one"))
