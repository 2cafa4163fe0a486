"""What a run's folder holds: the names of its files, and how plain ones are read."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, explain
from .parsing import of_yaml
from .paths import home

SETTINGS, MACHINE, CHECKPOINTS = "settings.yaml", "machine.json", "checkpoints"
LINES, TABLE, BOARD = "metrics.jsonl", "metrics.csv", "tensorboard"
WEIGHTS = "weights.safetensors"


def writable(out: Path, may_replace: bool, ways: str = "--overwrite") -> Path:
    """A folder to write to; it is not made yet.

    Args:
        out: as ``--out`` has it.
        may_replace: whether what is in it may go.
        ways: the flags that say so, for the error text.

    Raises:
        UsageError: it is a file, or something is in it.
    """
    folder = home(out, "--out ")
    if folder.is_file():
        fact = f"--out {out} is a file"
        raise UsageError(explain(fact, "a folder is needed", "give another name"))
    if folder.is_dir() and any(folder.iterdir()) and not may_replace:
        fact, cause = f"--out {out} is not empty", "something would be lost"
        raise UsageError(explain(fact, cause, f"give another folder, or {ways}"))
    return folder


def read_plain(path: Path) -> dict[str, Any]:
    """The same as they stand in the file, whatever their names; another release may have more.

    Args:
        path: ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.

    Raises:
        UsageError: the file cannot be read, or it holds no settings.
    """
    try:
        text = home(path, "--config ").read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(explain(f"cannot read {path}", reason, "give another file")) from None
    import tomllib  # late: few runs have such a file

    try:
        toml = path.suffix == ".toml"
        values = tomllib.loads(text) if toml else of_yaml(text)
    except (ValueError, RecursionError) as error:
        kind = "TOML" if toml else "YAML"
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else " ".join(str(error).split()).rstrip(".")
        raise UsageError(explain(f"{path} is no {kind}", reason, "mend the file")) from None
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        fact = f"{path} holds no settings"
        raise UsageError(explain(fact, "lines such as `epochs: 10` are needed", "mend the file"))
    named = [(str(key).replace("-", "_"), value) for key, value in values.items()]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        fact, cause = f"{path} sets {twice[0]!r} twice", "only one can hold"
        raise UsageError(explain(fact, cause, "remove one of them"))
    return dict(named)


def flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a table.

    Example:
        >>> flat({"epoch": 1, "phases": {"forward": 2.0}, "peak_memory_mib": None})
        {'epoch': 1, 'seconds_forward': 2.0, 'peak_memory_mib': None}
    """
    row: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            prefix = "seconds" if name == "phases" else name
            row |= {f"{prefix}_{inner}": number for inner, number in value.items()}
        else:
            row[name] = value
    return row
