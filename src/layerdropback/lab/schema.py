"""What files of runs must hold to be read on: a file may hold anything."""

from collections.abc import Callable, Mapping
from typing import Any

from ..option import is_count, is_number

_Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


# Where a file does not have a name: others than this release's may not.
_ABSENT = object()


def _or_absent(check: _Check) -> _Check:
    return lambda value: value is _ABSENT or check(value)


def _list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _map_to(check: _Check) -> _Check:
    return lambda value: isinstance(value, Mapping) and all(map(check, value.values()))


def _with(**checks: _Check) -> _Check:
    """A mapping that has these, and more perhaps."""
    return lambda value: isinstance(value, Mapping) and _wrong(checks, value) is None


def _wrong(checks: Mapping[str, _Check], values: Mapping[str, Any]) -> str | None:
    return next((key for key, good in checks.items() if not good(values.get(key, _ABSENT))), None)


_EPOCH: dict[str, _Check] = {
    "epoch": _is_positive,
    "mode": _is_text,
    "steps": lambda value: is_count(value, 1),
    "seconds": _is_positive,
    "train_loss": is_number,
    "test_accuracy": is_number,
    "phases": _or_absent(_map_to(is_number)),
    "state_bytes": _or_absent(is_number),
}
_FACTS: dict[str, _Check] = {"versions": _or_absent(_is_map), "hardware": _or_absent(_is_map)}
_RECORD: dict[str, _Check] = {
    "command": _is_text,
    "facts": _with(**_FACTS),
    "data": _with(name=_is_text, train=is_count, test=lambda value: is_count(value, 1)),
    "settings": _is_map,
    "identity": _is_map,
    "arms": _list_of(
        _with(
            name=_is_text,
            role=_is_text,
            of=_or_none(_is_text),
            says=_is_text,
            settings=_with(epochs=_is_positive),
        )
    ),
    "seeds": _list_of(is_count),
    "margin": is_number,
    "kind": lambda value: value in (_ABSENT, "comparison", "sweep"),
    "target": _or_absent(_or_none(is_number)),
    "held_out": _or_absent(_or_none(is_count)),
    "trials": _or_absent(
        _list_of(
            _with(
                arm=_is_text,
                lr=is_number,
                seed=is_count,
                accuracy=_or_none(is_number),
                loss=_or_none(is_number),
            )
        )
    ),
    "tuned": _or_absent(_map_to(is_number)),
    "pilot": _or_absent(_map_to(_with(saved=_map_to(is_number)))),
    "left_out": _or_absent(_map_to(_is_text)),
    "epochs": _or_absent(_list_of(_with(arm=_is_text, seed=is_count, **_EPOCH))),
    "dropped": _or_absent(_map_to(_map_to(is_count))),
}


def unusable_part(record: Mapping[str, Any]) -> str | None:
    """The name of a part of a comparison's record that cannot be used, or is missing.

    Example:
        >>> unusable_part({"command": "ldb compare", "facts": 3})
        'facts'
    """
    wrong = _wrong(_RECORD, record)
    if wrong is None and not any(arm["role"] == "plain" for arm in record["arms"]):
        return "arms"
    return wrong


def unusable_metric(row: object) -> str | None:
    """The name of a metric of an epoch that cannot be used; empty where it is no row at all.

    Example:
        >>> unusable_metric({"epoch": 1, "mode": 3}), unusable_metric([])
        ('mode', '')
    """
    return _wrong(_EPOCH, row) if isinstance(row, Mapping) else ""


def are_facts(values: object) -> bool:
    """Whether it is what a run's ``machine.json`` holds.

    Example:
        >>> are_facts({"hardware": []})
        False
    """
    return isinstance(values, Mapping) and _wrong(_FACTS, values) is None
