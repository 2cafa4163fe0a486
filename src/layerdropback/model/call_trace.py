"""One forward pass of the recorded step: its graph in numbers, which keep no tensor alive."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .formulas import NodeFlops
from .graph import Edge
from .module_calls import ModuleCall


@dataclass
class CallTrace:
    """What is known of one forward pass; FLOPs and calls are empty where nobody asked."""

    edges: Sequence[Edge]  # of the graph behind the outputs
    names: Mapping[int, str]  # of the parameters, by ``id``
    roots: Mapping[int, bool]  # the outputs' nodes; True for a single number, a loss say
    flops: Mapping[int, NodeFlops] = field(default_factory=dict)
    calls: Mapping[str, list[ModuleCall]] = field(default_factory=dict)
    reached: set[int] = field(default_factory=set)  # the roots through which gradients came

    def tops(self) -> list[int]:
        """The outputs that are not on the way to another; single numbers count only alone."""
        found = self._not_below(number for number, single in self.roots.items() if not single)
        return found or self._not_below(self.roots)

    def _not_below(self, roots: Iterable[int]) -> list[int]:
        candidates, top = set(roots), []
        below: set[int] = set()
        for number in sorted(self._children.keys() | candidates, reverse=True):
            if number in candidates and number not in below:
                top.append(number)
            if number in candidates or number in below:
                below.update(self._children.get(number, ()))
        return top

    def roots_below(self, earlier: Iterable[int] = ()) -> dict[int, frozenset[int]]:
        """For each output those that are on the way to it, also of earlier passes."""
        roots = list(dict.fromkeys([*earlier, *self.roots]))
        bits = {number: 1 << place for place, number in enumerate(roots)}
        behind: dict[int, int] = defaultdict(int)
        for number in sorted(self._children):  # nodes come after what they depend on
            for child in self._children[number]:
                behind[number] |= behind[child] | bits.get(child, 0)
        return {
            number: frozenset(other for other in roots if behind[number] & bits[other])
            for number in self.roots
        }

    def last_behind(self, number: int, counts: frozenset[str]) -> str | None:
        """The parameter that is used last behind a node, of those that count."""
        return next(self.names_behind(number, counts), None)

    def names_behind(self, number: int, counts: frozenset[str]) -> Iterator[str]:
        """The parameters behind a node that count, by their last use there, the last first."""
        # Numbers fall towards the inputs, so the highest node comes first.
        waiting, there, found = [-number], {number}, set[str]()
        while waiting:
            highest = -heapq.heappop(waiting)
            for name in self.uses.get(highest, ()):
                if name in counts and name not in found:
                    found.add(name)
                    yield name
            for child in self._children.get(highest, set()) - there:
                there.add(child)
                heapq.heappush(waiting, -child)

    @cached_property
    def uses(self) -> dict[int, list[str]]:
        """The parameters that each node uses."""
        found: dict[int, list[str]] = {}
        for edge in self.edges:
            if (name := self.names.get(id(edge.leaf))) is not None:
                found.setdefault(edge.number, []).append(name)
        return found

    @cached_property
    def _children(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for edge in self.edges:
            if edge.child is not None:
                found.setdefault(edge.number, set()).add(edge.child)
        return found
