"""Which uses of a parameter other uses of it depend on, in a graph of nodes by their numbers."""

from collections.abc import Iterable, Mapping, Sequence, Set

# By a node's number the nodes that it depends on; one without any has no entry.
Children = Mapping[int, Set[int]]


def below(children: Children, numbers: Iterable[int]) -> set[int]:
    """These nodes and all that they depend on."""
    stack = list(numbers)
    found = set(stack)
    while stack:
        more = children.get(stack.pop(), set()) - found
        found |= more
        stack += more
    return found


def early_among(children: Children, uses: Sequence[int]) -> list[int]:
    """Those of a parameter's uses that a later one depends on.

    Of two heads that share a weight neither is on the way to the other: both are late.
    """
    reach = {use: below(children, _products(children, use)) for use in uses}
    return [use for use in uses if any(use in reach[later] for later in uses if later > use)]


def _products(children: Children, use: int) -> set[int]:
    """The nodes that a use is part of: a weight that is but transposed is used after that."""
    if children.get(use):
        return {use}
    return {node for node, own in children.items() if use in own}
