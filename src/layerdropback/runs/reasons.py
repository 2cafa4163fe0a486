"""Another library's error, as a part of one of our lines."""

import re
import textwrap

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
