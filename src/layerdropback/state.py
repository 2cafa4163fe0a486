"""What a checkpoint says of LayerDropBack, and whether it belongs to this model."""

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from torch import Tensor

from .errors import StateError, explain
from .model.branches import Branch
from .model.layers import Layer

VERSION = 3


def fingerprint(layers: Sequence[Layer]) -> dict[str, list[str]]:
    """Each layer's parameters and shapes; two models with the same one get the same masks.

    Example:
        >>> from torch import nn
        >>> from layerdropback import find_layers
        >>> fingerprint(find_layers(nn.Linear(2, 3)))
        {'(root)': ['weight (3, 2)', 'bias (3,)']}
    """
    return {
        layer.name: [
            f"{name} {tuple(parameter.shape)}"
            for name, parameter in zip(layer.parameter_names, layer.parameters, strict=True)
        ]
        for layer in layers
    }


def digest(value: object) -> str:
    """A few letters that differ where the texts of two values do.

    Example:
        >>> digest("a") == digest("a"), len(digest("a"))
        (True, 8)
    """
    return hashlib.sha256(repr(value).encode()).hexdigest()[:8]


def of_branches(branches: Sequence[Branch] | None) -> list[list[Any]] | None:
    """Branches in plain containers.

    Example:
        >>> of_branches([Branch("0.mlp", ("0.mlp.weight",), 0.5)])
        [['0.mlp', ['0.mlp.weight'], 0.5]]
    """
    if branches is None:
        return None
    return [[branch.name, list(branch.parameter_names), branch.share] for branch in branches]


def check(saved: object, layers: Sequence[Layer], modules: Set[str]) -> Mapping[str, Any]:
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
        cause = "another release of layerdropback saved it"
        raise StateError(explain(fact, cause, "load it with that release"))
    wrong = [key for key, usable in _usable(saved, layers, modules).items() if not usable]
    if wrong:
        fact = f"the state has no usable {wrong[0]!r}"
        raise StateError(explain(fact, "it was cut or changed", "load an intact checkpoint"))
    here, there = fingerprint(layers), saved["layers"]
    if list(here.items()) != list(there.items()):
        raise StateError(
            explain(
                f"the state belongs to another model: {_difference(here, there)}",
                "the model or the unit changed since it was saved",
                "build the same model, with the same unit, then load",
            )
        )
    return saved


def _usable(
    saved: Mapping[str, Any], layers: Sequence[Layer], modules: Set[str]
) -> dict[str, bool]:
    """For each entry whether `load_state_dict` can take it."""
    times, epoch = saved.get("times_dropped"), saved.get("epoch")
    names = {name for layer in layers for name in layer.parameter_names}
    # Another model's names come with another fingerprint, which is told in its own words.
    here = saved.get("layers") == fingerprint(layers)
    return {
        "layers": isinstance(saved.get("layers"), Mapping)
        and all(isinstance(parameters, list) for parameters in saved["layers"].values()),
        "seed": _is_count(saved.get("seed")) and saved["seed"] < 2**64,
        "epoch": epoch is None or _is_count(epoch),
        "step": _is_count(saved.get("step")),
        "drop_steps": _is_count(saved.get("drop_steps")),
        "epoch_steps": _is_count(saved.get("epoch_steps")),
        "epoch_dropped": _is_number(saved.get("epoch_dropped")),
        "times_dropped": isinstance(times, list)
        and all(map(_is_count, times))
        and (len(times) == len(layers) or not here),
        "order": _is_order(saved.get("order", "missing"), names if here else None),
        "shares": _is_shares(saved.get("shares", "missing"), layers if here else None),
        "cost_shares": _is_shares(saved.get("cost_shares", "missing"), layers if here else None),
        "signals": _is_signals(saved.get("signals", "missing"), len(layers) if here else None),
        "drop_rate": _is_rate(saved.get("drop_rate", "missing")),
        "early": _is_early(saved.get("early", "missing"), (modules, names) if here else None),
        "weights": _is_weights(saved.get("weights", "missing"), layers if here else None),
        "sensitivity": _is_sensitivity(saved.get("sensitivity", "missing")),
        "branches": _is_branches(
            saved.get("branches", "missing"), (modules, names) if here else None
        ),
    }


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_order(order: object, names: set[str] | None) -> bool:
    if order is None:
        return True
    if not isinstance(order, Mapping):
        return False
    first, last, unreached, ends = (
        order.get(key) for key in ("first", "last", "unreached", "ends")
    )
    return (
        isinstance(first, Mapping)
        and isinstance(last, Mapping)
        and isinstance(unreached, list)
        and isinstance(ends, list)
        and first.keys() == last.keys()
        and all(_is_count(rank) for ranks in (first, last) for rank in ranks.values())
        and (names is None or {*first, *unreached, *ends} <= names)
    )


def _is_shares(shares: object, layers: Sequence[Layer] | None) -> bool:
    if shares is None:
        return True
    if not isinstance(shares, Mapping):
        return False
    good = all(_is_number(share) and share <= 1.001 for share in shares.values())
    return good and (layers is None or set(shares) == {layer.name for layer in layers})


def _is_early(early: object, known: tuple[Set[str], Set[str]] | None) -> bool:
    if early is None:
        return True
    if not isinstance(early, Mapping) or not all(isinstance(v, str) for v in early.values()):
        return False
    return known is None or (set(early.values()) <= known[0] and set(early) <= known[1])


def _is_weights(weights: object, layers: Sequence[Layer] | None) -> bool:
    if weights is None:
        return True
    if not isinstance(weights, Mapping) or not _are_parts(weights.get("costs")):
        return False
    changes = weights.get("changes", "missing")
    if changes is not None and not _are_parts(changes):
        return False
    names = None if layers is None else {layer.name for layer in layers}
    return names is None or {*weights["costs"], *(changes or ())} <= names


def _is_sensitivity(sensitivity: object) -> bool:
    if sensitivity is None:
        return True
    return (
        isinstance(sensitivity, Mapping)
        and _is_count(sensitivity.get("batches"))
        and _are_parts(sensitivity.get("sums"))
    )


def _are_parts(parts: object) -> bool:
    return isinstance(parts, Mapping) and all(map(_is_number, parts.values()))


def _is_signals(signals: object, layers: int | None) -> bool:
    if signals is None:
        return True
    if not isinstance(signals, Mapping) or not isinstance(signals.get("looks"), list):
        return False
    looks, means, squares = signals["looks"], signals.get("mean"), signals.get("square")
    if not isinstance(means, Mapping) or not isinstance(squares, Mapping):
        return False
    every = [*means.items(), *squares.items()]
    return (
        all(map(_is_count, looks))
        and (layers is None or len(looks) == layers)
        and means.keys() == squares.keys()
        and all(isinstance(v, Tensor) and 0 <= int(i) < len(looks) for i, v in every)
    )


def _is_rate(rate: object) -> bool:
    return rate is None or (_is_number(rate) and rate < 1)  # type: ignore[operator]


def _is_branches(branches: object, known: tuple[Set[str], Set[str]] | None) -> bool:
    if branches is None:
        return True
    return isinstance(branches, list) and all(
        isinstance(entry, list)
        and len(entry) == 3
        and isinstance(entry[0], str)
        and isinstance(entry[1], list)
        and _is_number(entry[2])
        and (known is None or (entry[0] in known[0] and set(map(str, entry[1])) <= known[1]))
        for entry in branches
    )


def _difference(here: Mapping[str, list[str]], there: Mapping[str, list[str]]) -> str:
    notes = [f"layer {name!r} is only in the state" for name in there if name not in here]
    notes += [f"layer {name!r} is only in the model" for name in here if name not in there]
    for name in here.keys() & there.keys():
        if here[name] != there[name]:
            mine, theirs = ", ".join(here[name]), ", ".join(map(str, there[name]))
            notes.append(f"layer {name!r} has {mine} here and {theirs} in the state")
    notes = notes or ["the same layers are in another order"]
    more = f"; and {len(notes) - 3} more differences" if len(notes) > 3 else ""
    return "; ".join(notes[:3]) + more
