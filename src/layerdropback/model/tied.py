"""The early uses of a tied parameter: which modules make them, so that a cut can detach those.

A head that shares its weight with the embedding is used first and last. It is always kept; what a
cut drops of it is the early uses, by detaching the outputs of the modules that make them (issue 5):
one embedding, or one for each half of an encoder-decoder (issue 16).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from .call_trace import CallTrace


def early_users(
    trace: CallTrace, owners: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """For each tied parameter the modules that make all of its uses but the last.

    Args:
        trace: of a forward pass of the recorded step, with the calls of its modules.
        owners: of each parameter that is used more than once, the modules that own it.

    Returns:
        Names of modules. A parameter is left out where an early use is in no call of an owner, or
        the last is in a call of the same one.
    """
    uses: dict[str, set[int]] = defaultdict(set)
    for edge in trace.edges:
        name = None if edge.leaf is None else trace.names.get(id(edge.leaf))
        if name in owners and name is not None:
            uses[name].add(edge.number)
    found = {}
    for name in sorted(uses):
        *early, last = sorted(uses[name])
        users = [_user(trace, owners[name], number, last) for number in early]
        if users and None not in users:
            found[name] = tuple(dict.fromkeys(user for user in users if user is not None))
    return found


def _user(trace: CallTrace, owners: Collection[str], number: int, last: int) -> str | None:
    """The owner in a call of which a use is, if the last use is in none of its calls."""
    for owner in owners:
        calls = trace.calls.get(owner, ())
        inside = any(call.begin <= number < call.end for call in calls)
        if inside and all(call.end <= last for call in calls):
            return owner
    return None
