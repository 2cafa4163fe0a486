"""What a checkpoint says of LayerDropBack, and whether it belongs to this model."""

from collections.abc import Callable, Mapping, Sequence, Set
from itertools import chain
from typing import Any

from .errors import StateError, explain
from .model.layers import Layer, fingerprint
from .option import is_count, is_number

VERSION = 4

# A state that JSON has sorted, or another release has added to, is the same state.
State = Mapping[str, Any]


def check(saved: object, layers: Sequence[Layer], modules: Set[str]) -> State:
    """Make sure that a state was saved by this version for this model, whose modules have names.

    A `StateError` says where it was not, with the first differences.
    """
    if not isinstance(saved, Mapping) or "version" not in saved:
        what = f"this {type(saved).__name__} is no state of LayerDropBack"
        cure = "pass what ldb.state_dict() returned"
        raise StateError(explain(what, "it has no version", cure))
    if saved["version"] != VERSION:
        fact = f"the state has version {saved['version']!r}, this release reads {VERSION}"
        cause = f"layerdropback {saved.get('release', 'of another release')} saved it"
        raise StateError(explain(fact, cause, "load it with that release"))
    for key, usable in _SCHEMA.items():
        _require(key in saved and usable(saved[key]), key)
    for key, usable in _LEARNED.items():
        _require(saved.get(key) is None or usable(saved[key]), key)
    here: list[list[Any]] = fingerprint(layers)
    if here != saved["layers"]:
        fact = f"the state belongs to another model: {_difference(here, saved['layers'])}"
        cause = "the model or the unit changed since it was saved"
        cure = "build the same model, with the same unit, then load"
        raise StateError(explain(fact, cause, cure))
    _require_names(saved, layers, modules)
    return saved


def differences(saved: State, here: State) -> list[str]:
    """The settings, in plain values, that a state was saved with, where they are others here."""
    found = []
    for name, value in here.items():
        other = saved.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += [f"{name}.{text}" for text in differences(other, value)]
        elif other != value and name != "seed":
            found.append(f"{name} is {other!r} in the state and {value!r} here")
    return found


def _require(good: bool, key: str) -> None:
    if not good:
        fact = f"the state has no usable {key!r}"
        raise StateError(explain(fact, "it was cut or changed", "load an intact checkpoint"))


def _require_names(saved: State, layers: Sequence[Layer], modules: Set[str]) -> None:
    """Make sure that every name in a state is one of this model's."""
    parameters = {name for layer in layers for name in layer.parameter_names}
    order = saved["order"] or {"first": {}, "unreached": [], "ends": []}
    branches, early = saved.get("branches") or [], saved.get("early") or {}
    for key, names, known in (
        ("order", {*order["first"], *order["unreached"], *order["ends"]}, parameters),
        ("branches", {name for name, _, _ in branches}, modules),
        ("branches", {name for _, members, _ in branches for name in members}, parameters),
        ("early", set(early), parameters),
        ("early", set(chain(*early.values())), modules),
        ("sources", set(saved.get("sources") or ()), modules),
        ("missed", set(saved.get("missed") or ()), parameters),
    ):
        _require(names <= known, key)
    _require(len(saved["times_dropped"]) == len(layers), "times_dropped")
    shares = saved.get("shares")
    _require(shares is None or set(shares) == {layer.name for layer in layers}, "shares")


_Check = Callable[[Any], bool]


def _list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _map_to(check: _Check) -> _Check:
    return lambda value: isinstance(value, Mapping) and all(map(check, value.values()))


def _row(*checks: _Check) -> _Check:
    def is_row(value: Any) -> bool:
        good = isinstance(value, list | tuple) and len(value) == len(checks)
        return good and all(check(part) for check, part in zip(checks, value, strict=True))

    return is_row


def _is_a(kind: type) -> _Check:
    return lambda value: isinstance(value, kind)


def _is_amount(value: Any) -> bool:
    return is_number(value) and value >= 0


def _fits(bits: int) -> _Check:
    return lambda value: is_count(value) and value < 2**bits


_is_name, _are_names = _is_a(str), _list_of(_is_a(str))


def _is_order(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    ranks, names, behind = _map_to(is_count), _are_names, value.get("behind", {})
    return (
        all(ranks(value.get(key)) for key in ("first", "last"))
        and all(names(value.get(key)) for key in ("unreached", "ends"))
        and _map_to(names)(behind)
        and value["first"].keys() == value["last"].keys()
        and behind.keys() <= set(value["ends"])
    )


# What `load_state_dict` can take, by key.
_SCHEMA: dict[str, _Check] = {
    "layers": _list_of(_row(_is_name, _is_a(list))),
    "settings": _is_a(Mapping),
    "seed": _fits(64),
    "epoch": lambda value: value is None or is_count(value),
    "step": _fits(63),
    "drop_steps": _fits(63),
    "epoch_steps": _fits(63),
    "epoch_dropped": _is_amount,
    "epoch_saved": lambda value: value is None or _is_amount(value),
    "times_dropped": _list_of(_fits(63)),
    "order": lambda value: value is None or _is_order(value),
}

# What is there only where it was learnt.
_LEARNED: dict[str, _Check] = {
    "shares": _map_to(lambda share: _is_amount(share) and share <= 1.001),
    "branches": _list_of(_row(_is_name, _are_names, _is_amount)),
    "early": _map_to(_are_names),
    "sources": _are_names,
    "by_hand": _is_a(bool),
    "scaled": _is_a(bool),
    "missed": _are_names,
    "futile": _fits(63),
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
