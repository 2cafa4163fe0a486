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
        first = given.replace(",", " ").split()[0] if isinstance(given, str) else given[0]
        quick = [index for index, value in enumerate(values) if not _is_slow(value)]
        index = item.callspec.indices[first]
        if index not in quick:
            return True
        if first in names:
            names.remove(first)
            turn, turns = turn * len(quick) + quick.index(index), turns * len(quick)
        else:
            place, places = place * len(quick) + quick.index(index), places * len(quick)
    assert not names, f"{item.nodeid} has no arguments {names}"
    return turn % places == place % turns


def _is_slow(value):
    return any(mark.name == "slow" for mark in getattr(value, "marks", ()))
