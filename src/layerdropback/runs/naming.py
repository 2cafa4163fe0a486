"""Names that look alike: one text may be written in several ways in Unicode."""

import unicodedata
from typing import TypeVar

_Name = TypeVar("_Name")


def nfc(name: _Name) -> _Name:
    r"""The one form of a name by which it is known, whichever system wrote it.

    Args:
        name: a text; anything else, such as a number, is given back as it is.

    Example:
        >>> nfc("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name) if isinstance(name, str) else name  # type: ignore[return-value]


def spelt(name: str) -> str:
    r"""A name for an error text, with its escapes where two could look alike.

    Example:
        >>> spelt("cat"), ascii(spelt("caf\u00e9"))
        ("'cat'", '"\'caf\\xe9\' (\'caf\\\\xe9\')"')
    """
    return repr(name) if name.isascii() else f"{name!r} ({name!a})"
