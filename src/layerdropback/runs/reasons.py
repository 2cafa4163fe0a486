"""Another library's error, as a part of one of our lines."""

import textwrap


def reason(error: BaseException) -> str:
    r"""What an error says, in one line of bearable length, to be followed by a full stop.

    Example:
        >>> reason(RuntimeError("no such\n   file."))
        'no such file'
        >>> reason(MemoryError())
        'MemoryError'
    """
    text = textwrap.shorten(str(error), 400, placeholder=" ...").rstrip(".")
    return text or type(error).__name__
