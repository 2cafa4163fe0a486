"""Settings as YAML or TOML: read, checked name by name and type by type, and written."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from ..errors import UsageError, explain
from ..runs.folder import read_plain
from .config import PLACES, TrainConfig, all_flags


class UnknownSetting(UsageError):
    """A file sets what is no setting; `fact` is the error's first part."""

    def __init__(self, fact: str, cause: str, cure: str):
        super().__init__(explain(fact, cause, cure))
        self.fact = fact


def read_settings(path: Path) -> dict[str, Any]:
    """Read a file of settings, named as the flags are (with ``-`` or ``_``).

    Args:
        path: ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Returns:
        Values of the settings' own types; ``recipe``, if it is there, is among them.

    Raises:
        UsageError: the file cannot be read, or a name or a value in it cannot be used.
    """
    return typed(read_plain(path), str(path))


def typed(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Give each value the type of its setting.

    Args:
        values: by name, as a file has them.
        source: the file, for the error text.

    Raises:
        UsageError: no such setting exists, or its value is of another kind.

    Example:
        >>> typed({"lr": "1e-3", "milestones": [0.5]}, "run.yaml")
        {'lr': 0.001, 'milestones': (0.5,)}
    """
    flags = all_flags()
    kinds = {name: flag.kind for name, flag in flags.items()} | {"recipe": str}
    found = {}
    for name, value in values.items():
        if name not in kinds or name in PLACES:
            close = difflib.get_close_matches(name, kinds.keys() - set(PLACES), n=1)
            fact = f"{source} sets {name!r}"
            cause = "a run's place is no setting" if name in PLACES else "no such setting exists"
            cure = f"did you mean {close[0]}" if close else "see ldb train --help"
            cure = f"give --{name} on the command line" if name in PLACES else cure
            raise UnknownSetting(fact, cause, cure)
        try:
            if isinstance(value, bool) and name in flags and "no" in flags[name].choices:
                value = "yes" if value else "no"  # which YAML takes for truth values
            found[name] = _as_type(value, kinds[name])
        except (ValueError, TypeError, OverflowError):
            fact = f"{source} sets {name} to {value!r}"
            cause = f"{_kind(kinds[name])} is needed"
            raise UsageError(explain(fact, cause, "mend the file")) from None
    return found


def write_settings(config: TrainConfig, path: Path) -> None:
    """Write every setting of a run, to be read again by `read_settings`."""
    import yaml

    values = {name: value for name, value in config.as_dict().items() if name not in PLACES}
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def _as_type(value: Any, kind: Any) -> Any:
    options = _options(kind)
    if value is None and type(None) in options:
        return None
    option = options[0]
    if get_origin(option) is tuple:
        (inner, _) = get_args(option)
        entries = [value] if isinstance(value, str | int | float) else value
        if not isinstance(entries, list | tuple):
            raise TypeError
        return tuple(_as_type(entry, inner) for entry in entries)
    if option is bool or isinstance(value, bool):
        if option is bool and isinstance(value, bool):
            return value
        raise TypeError
    if option is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(value)
    if option is float:
        words = {word for part in options for word in get_args(part)}  # "inverse"
        return value if isinstance(value, str) and value in words else float(value)
    if not isinstance(value, str):
        raise TypeError
    return Path(value) if option is Path else value


def _options(kind: Any) -> tuple[Any, ...]:
    """The types that a value may have, the one that it is made of first."""
    return get_args(kind) if get_origin(kind) in (UnionType, Union) else (kind,)


def _kind(kind: Any) -> str:
    option = _options(kind)[0]
    if get_origin(option) is tuple:
        (inner, _) = get_args(option)
        return "a list of numbers" if inner is float else "a list of words"
    names = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return names.get(option, "a word")
