"""What a checkpoint says of LayerDropBack, and whether it belongs to this model."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, TypeGuard

from .errors import StateError, explain
from .model.layers import Layer, fingerprint
from .option import is_count

VERSION = 4

# A state that JSON has sorted, or another release has added to, is the same state.
State = Mapping[str, Any]


def check(saved: object, layers: Sequence[Layer], modules: Set[str]) -> State:
    """Make sure that a state was saved by this version for this model.

    Args:
        saved: what may be a state.
        layers: the model's.
        modules: the names of its modules.

    Raises:
        StateError: it was not; the first differences are named.
    """
    if not isinstance(saved, Mapping) or "version" not in saved:
        what = f"this {type(saved).__name__} is no state of LayerDropBack"
        cure = "pass what ldb.state_dict() returned"
        raise StateError(explain(what, "it has no version", cure))
    if saved["version"] != VERSION:
        fact = f"the state has version {saved['version']!r}, this release reads {VERSION}"
        cause = f"layerdropback {saved.get('release', 'of another release')} saved it"
        raise StateError(explain(fact, cause, "load it with that release"))
    here: list[list[Any]] = fingerprint(layers)
    there: Any = saved.get("layers")
    if not _is_fingerprint(there):
        _refuse("layers")
    names = {name for layer in layers for name in layer.parameter_names}
    known = _Known(len(layers), {layer.name for layer in layers}, names, modules)
    # Another model's names come with another fingerprint, which is told in its own words.
    for key, usable in _SCHEMA.items():
        if not usable(saved.get(key), known if here == there else None):
            _refuse(key)
    if here != there:
        fact = f"the state belongs to another model: {_difference(here, there)}"
        cause = "the model or the unit changed since it was saved"
        cure = "build the same model, with the same unit, then load"
        raise StateError(explain(fact, cause, cure))
    return saved


def differences(saved: State, here: State) -> list[str]:
    """The settings that a state was saved with, where they are others here.

    Args:
        saved: settings in plain values, as `Settings.to_state` gives them.
        here: the same of this run.

    Example:
        >>> differences({"schedule": {"every": 2}}, {"schedule": {"every": 1}})
        ['schedule.every is 2 in the state and 1 here']
    """
    found = []
    for name, value in here.items():
        other = saved.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += [f"{name}.{text}" for text in differences(other, value)]
        elif other != value and name != "seed":
            found.append(f"{name} is {other!r} in the state and {value!r} here")
    return found


def _refuse(key: str) -> None:
    fact = f"the state has no usable {key!r}"
    raise StateError(explain(fact, "it was cut or changed", "load an intact checkpoint"))


class _Known:
    """The names that a state of this model can have."""

    def __init__(self, count: int, layers: Set[str], parameters: Set[str], modules: Set[str]):
        self.count, self.layers, self.parameters = count, layers, parameters
        self.modules = modules


_Usable = Callable[[Any, _Known | None], bool]


def _count(value: Any, known: _Known | None = None) -> bool:
    return is_count(value) and value < 2**63


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < math.inf


def _are_names(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, list | tuple)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], list)
        for entry in value
    )


def _times(value: Any, known: _Known | None) -> bool:
    good = isinstance(value, list) and all(map(_count, value))
    return good and (known is None or len(value) == known.count)


def _order(value: Any, known: _Known | None) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping):
        return False
    first, last, unreached, ends = (
        value.get(key) for key in ("first", "last", "unreached", "ends")
    )
    behind = value.get("behind", {})
    return (
        isinstance(first, Mapping)
        and isinstance(last, Mapping)
        and _are_names(unreached)
        and _are_names(ends)
        and isinstance(behind, Mapping)
        and all(end in ends and _are_names(names) for end, names in behind.items())
        and first.keys() == last.keys()
        and all(is_count(rank) for ranks in (first, last) for rank in ranks.values())
        and (known is None or {*first, *unreached, *ends} <= known.parameters)
    )


def _shares(value: Any, known: _Known | None) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping):
        return False
    good = all(_is_number(share) and share <= 1.001 for share in value.values())
    return good and (known is None or set(value) == known.layers)


def _early(value: Any, known: _Known | None) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        return False
    return known is None or (
        set(value.values()) <= known.modules and set(value) <= known.parameters
    )


def _modules(value: Any, known: _Known | None) -> bool:
    if value is None:
        return True
    return _are_names(value) and (known is None or set(value) <= known.modules)


def _branches(value: Any, known: _Known | None) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(entry, list)
        and len(entry) == 3
        and isinstance(entry[0], str)
        and _are_names(entry[1])
        and _is_number(entry[2])
        and (known is None or (entry[0] in known.modules and set(entry[1]) <= known.parameters))
        for entry in value
    )


# What `load_state_dict` can take, by key.
_SCHEMA: dict[str, _Usable] = {
    "settings": lambda value, _: isinstance(value, Mapping),
    "seed": lambda value, _: is_count(value) and value < 2**64,
    "epoch": lambda value, _: value is None or is_count(value),
    "step": _count,
    "drop_steps": _count,
    "epoch_steps": _count,
    "epoch_dropped": lambda value, _: _is_number(value),
    "times_dropped": _times,
    "order": _order,
    "shares": _shares,
    "branches": _branches,
    "early": _early,
    "sources": _modules,
    "by_hand": lambda value, _: value is None or isinstance(value, bool),
}


def _difference(here: list[list[Any]], there: list[list[Any]]) -> str:
    mine, theirs = dict(map(tuple, here)), dict(map(tuple, there))
    notes = [f"layer {name!r} is only in the state" for name in theirs if name not in mine]
    notes += [f"layer {name!r} is only in the model" for name in mine if name not in theirs]
    for name in mine.keys() & theirs.keys():
        if mine[name] != theirs[name]:
            own, other = ", ".join(mine[name]), ", ".join(map(str, theirs[name]))
            notes.append(f"layer {name!r} has {own} here and {other} in the state")
    notes = notes or ["the same layers are in another order"]
    more = f"; and {len(notes) - 3} more differences" if len(notes) > 3 else ""
    return "; ".join(notes[:3]) + more
