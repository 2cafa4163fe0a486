"""Combinations of arguments of which some are quick to show what all show.

A test with the mark ``in_turn("strategy")`` runs by default with every combination of its other
arguments, each with one strategy, the next one with the next; and with every strategy, where there
are more of these. What is left out is `slow`, as is what has that mark itself.
"""


def is_shown(item):
    """Whether a test's arguments are of those that run by default."""
    names = {name for mark in item.iter_markers("in_turn") for name in mark.args}
    if not names:
        return True
    turn, turns, place, places = 0, 1, 0, 1
    for mark in item.iter_markers("parametrize"):
        given, values = mark.args[:2]
        own = given.replace(",", " ").split() if isinstance(given, str) else list(given)
        quick = [_tuple(value, own) for value in values if not _is_slow(value)]
        mine = [item.callspec.params[name] for name in own]
        index = next((i for i, value in enumerate(quick) if _are(value, mine)), None)
        if index is None:
            return True
        if own[0] in names:
            names.remove(own[0])
            turn, turns = turn * len(quick) + index, turns * len(quick)
        else:
            place, places = place * len(quick) + index, places * len(quick)
    assert not names, f"{item.nodeid} has no arguments {names}"
    return turn % places == place % turns


def _is_slow(value):
    return any(mark.name == "slow" for mark in getattr(value, "marks", ()))


def _tuple(value, names):
    if hasattr(value, "marks"):
        return value.values
    return (value,) if len(names) == 1 else tuple(value)


def _are(values, others):
    return all(one is other for one, other in zip(values, others, strict=True))
