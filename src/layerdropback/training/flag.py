"""What a setting says of itself, for the command line and for settings files."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Flag:
    """A setting's flag on the command line, and its key in a file.

    Attributes:
        text: of the help.
        choices: the words that it can be, if it is one of some.
        default: for the help; a default that is no plain value is told in words.
        kind: the type, as its field is annotated.
    """

    text: str
    choices: tuple[str, ...]
    default: Any
    kind: Any

    @classmethod
    def of(cls, entry: Field[Any], kind: Any) -> "Flag":
        """The flag of a field that `option` made."""
        return cls(entry.metadata["help"], entry.metadata["choices"], entry.default, kind)


def flagged(kind: type) -> Iterator[tuple[str, Field[Any], Any]]:
    """The fields of a dataclass that are settings: each one's flag, the field, and its type.

    Args:
        kind: its fields without a text of their own (`option`) are no settings.

    Example:
        >>> from layerdropback import Schedule
        >>> [flag for flag, _, _ in flagged(Schedule)]
        ['every', 'start', 'period_steps', 'ramp', 'anneal']
    """
    types = get_type_hints(kind)
    for entry in fields(kind):
        if "help" in entry.metadata:
            yield entry.metadata["flag"] or entry.name, entry, types[entry.name]
