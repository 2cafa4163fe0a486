"""``KEY=VALUE`` on the command line: an arm's settings, a task's arguments."""

import re
from typing import Any

from ..errors import UsageError, explain
from ..runs.parsing import of_yaml

_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def name_and_values(text: str, source: str) -> tuple[str, dict[str, Any]]:
    """Read ``KEY=VALUE,...`` or ``NAME:KEY=VALUE,...``, with values as YAML has them.

    Args:
        text: as it was given.
        source: what it was given for, for the error text.

    Returns:
        The name, by default the text itself, and the values by key.

    Raises:
        UsageError: the text cannot be read.

    Example:
        >>> name_and_values("half: drop-rate=0.5, keep=[a, b]", "--arm")
        ('half', {'drop_rate': 0.5, 'keep': ['a', 'b']})
        >>> name_and_values("lora=8", "--arm")[0]
        'lora=8'
    """
    name, _, rest = text.rpartition(":") if re.match(r"[^=]*:", text) else ("", "", text)
    values: dict[str, Any] = {}
    for part in re.split(r",(?![^\[]*\])", rest):  # not inside of a [list]
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            cause = "it is KEY=VALUE,... or NAME:KEY=VALUE,..., with settings as keys"
            raise UsageError(explain(f"{source} is not usable", cause, "see ldb train --help"))
        name_here = key.strip().replace("-", "_")
        if name_here in values:
            fact = f"{source} is not usable"
            raise UsageError(explain(fact, f"{name_here} is given twice", "give it once"))
        try:
            read = of_yaml(value)
        except ValueError:
            cause = f"{value.strip()!r} is no value"
            raise UsageError(explain(f"{source} is not usable", cause, "give another")) from None
        # YAML takes 1e-4, without a point, for a word.
        is_number = isinstance(read, str) and _EXPONENT.fullmatch(read) is not None
        values[name_here] = float(read) if is_number else read
    return name.strip() or rest.strip(), values
