"""Docstrings say `Example:`, as Google's guide does; the reader of docstrings wants a plural."""

import re
from typing import Any

from griffe import Extension


class Examples(Extension):
    """Has examples read as code, and not as text in which brackets are links."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Give the section the name that is known."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
