"""What a setting says of itself, for the command line and for settings files."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from functools import partial
from typing import Any, get_type_hints

from ..option import option

# A run's fields, each under its heading of the help, whatever their order in a settings file.
of_model, of_data = partial(option, group="Model"), partial(option, group="Data")
of_optimisation = partial(option, group="Optimisation")
of_machine, of_output = partial(option, group="Machine"), partial(option, group="Output")


@dataclass(frozen=True)
class Flag:
    """A setting's flag on the command line, and its key in a file.

    Attributes:
        text: of the help.
        choices: the words that it can be, if it is one of some.
        default: for the help; a default that is no plain value is told in words.
        kind: the type, as its field is annotated.
        group: the heading of the help that it stands under.
    """

    text: str
    choices: tuple[str, ...]
    default: Any
    kind: Any
    group: str

    @classmethod
    def of(cls, entry: Field[Any], kind: Any) -> "Flag":
        """The flag of a field that `option` made."""
        said = entry.metadata
        return cls(said["help"], said["choices"], entry.default, kind, said["group"])


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
