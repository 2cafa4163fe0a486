"""The early use of a tied parameter: which module makes it, so that a cut can detach that module.

A head that shares its weight with the embedding is used first and last. It is always kept; what a
cut drops of it is the early use, by detaching the output of the module that makes it (issue 5).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from .call_trace import CallTrace


def early_users(trace: CallTrace, owners: Mapping[str, Collection[str]]) -> dict[str, str]:
    """For each tied parameter the module that makes all of its uses but the last.

    Args:
        trace: of a forward pass of the recorded step, with the calls of its modules.
        owners: of each parameter that is used more than once, the modules that own it.

    Returns:
        Names of modules. A parameter whose early uses are in no single module of its owners, called
        once, is left out.

    Example:
        A model whose head shares its weight with the embedding ``tokens`` gives
        ``{"tokens.weight": "tokens"}``; tests/model/test_tied.py has it.
    """
    uses: dict[str, set[int]] = defaultdict(set)
    for edge in trace.edges:
        name = None if edge.leaf is None else trace.names.get(id(edge.leaf))
        if name in owners and name is not None:
            uses[name].add(edge.number)
    found = {}
    for name in sorted(uses):
        *early, last = sorted(uses[name])
        if not early:
            continue
        user = _module_of(trace, owners[name], early, last)
        if user is not None:
            found[name] = user
    return found


def _module_of(
    trace: CallTrace, owners: Collection[str], early: list[int], last: int
) -> str | None:
    """The owner whose one call holds these uses, and not the last."""
    for owner in owners:
        calls = trace.calls.get(owner, ())
        if len(calls) == 1 and calls[0].begin <= early[0] and early[-1] < calls[0].end <= last:
            return owner
    return None
