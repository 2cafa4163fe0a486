"""Names that look alike: one text may be written in several ways in Unicode."""

import unicodedata
from collections.abc import Iterable
from typing import TypeVar

from ..errors import UsageError, explain

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


def in_one_form(names: Iterable[str], what: str, cure: str) -> dict[str, str]:
    r"""Each name's one form, and the name as it is written.

    Args:
        names: of classes.
        what: has them, for the error.
        cure: what to do where one name comes in two forms.

    Raises:
        UsageError: one does.

    Example:
        >>> ascii(in_one_form(["the", "cafe\u0301"], "the folder has two of", "rename one"))
        "{'the': 'the', 'caf\\xe9': 'cafe\\u0301'}"
    """
    found: dict[str, str] = {}
    for name in names:
        first = found.setdefault(nfc(name), name)
        if first != name:
            cause = f"{first!a} and {name!a} differ in their Unicode form alone"
            raise UsageError(explain(f"{what} the class {nfc(name)!r}", cause, cure))
    return found
