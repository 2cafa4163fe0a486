"""One forward pass of the recorded step: its graph in numbers, which keep no tensor alive."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import Any

from torch import nn

from ..interop.private import next_number, node_number
from ..interop.wrappers import hookable_modules
from .flops import NodeFlops
from .graph import Edge, graph_roots
from .uses import below, early_among


@dataclass
class ModuleCall:
    """One call of a module, by the numbers of the graph's nodes."""

    begin: int  # of the next node, when it began
    end: int = -1  # of the next node, when it ended
    outputs: list[int] = field(default_factory=list)  # of its outputs' nodes


class ModuleCalls:
    """Notes the calls of a model's modules, the root left out, by their canonical names.

    Nor those of what is `running`, whose call has begun already.
    """

    def __init__(self, model: nn.Module, running: nn.Module | None = None):
        self.calls: dict[str, list[ModuleCall]] = defaultdict(list)
        self._hooks = ExitStack()
        for name, module in hookable_modules(model, running):
            begin, end = partial(_begin, self.calls[name]), partial(_end, self.calls[name])
            self._hooks.callback(module.register_forward_pre_hook(begin).remove)
            self._hooks.callback(module.register_forward_hook(end).remove)

    def stop(self) -> Mapping[str, list[ModuleCall]]:
        """Watch no longer; all calls so far."""
        self._hooks.close()
        return self.calls


def _begin(calls: list[ModuleCall], module: nn.Module, args: Any) -> None:
    calls.append(ModuleCall(next_number()))


def _end(calls: list[ModuleCall], module: nn.Module, args: Any, output: Any) -> None:
    calls[-1].outputs = [node_number(node) for node in graph_roots(output)]
    calls[-1].end = next_number()


@dataclass
class CallTrace:
    """What is known of one forward pass; FLOPs and calls are empty where nobody asked."""

    edges: Sequence[Edge]  # of the graph behind the outputs
    names: Mapping[int, str]  # of the parameters, by ``id``
    roots: Mapping[int, bool]  # the outputs' nodes; True for a single number, a loss say
    flops: Mapping[int, NodeFlops] = field(default_factory=dict)
    calls: Mapping[str, list[ModuleCall]] = field(default_factory=dict)
    reached: set[int] = field(default_factory=set)  # the roots through which gradients came
    settled: bool = False  # whether all of them are known

    def tops(self) -> list[int]:
        """The outputs that are not on the way to another; single numbers count only alone."""
        lower = self.roots_below()
        whole = [number for number, single in self.roots.items() if not single]
        for candidates in (whole, list(self.roots)):
            covered = set[int]().union(*(lower[number] for number in candidates))
            if found := [number for number in candidates if number not in covered]:
                return found
        return []

    def roots_below(self, earlier: Container[int] = ()) -> dict[int, frozenset[int]]:
        """For each output those that are on the way to it, also of earlier passes."""
        inner = set[int]().union(*self._children.values())
        roots = [
            *self.roots,
            *(number for number in inner - self.roots.keys() if number in earlier),
        ]
        bits = {number: 1 << place for place, number in enumerate(roots)}
        behind: dict[int, int] = defaultdict(int)
        for number in sorted(self._children):  # nodes come after what they depend on
            for child in self._children[number]:
                behind[number] |= behind[child] | bits.get(child, 0)
        return {
            number: frozenset(other for other in roots if behind[number] & bits[other])
            for number in self.roots
        }

    def below(self, numbers: Iterable[int]) -> set[int]:
        """These nodes and all that they depend on."""
        return below(self._children, numbers)

    def early_among(self, uses: Sequence[int]) -> list[int]:
        """Those of a parameter's uses that a later one depends on."""
        return early_among(self._children, uses)

    def last_behind(self, number: int, counts: Set[str]) -> str | None:
        """The parameter that is used last behind a node, of those that count."""
        return next(self.names_behind(number, counts), None)

    def names_behind(self, number: int, counts: Set[str]) -> Iterator[str]:
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
    def used(self) -> frozenset[str]:
        """The parameters that the pass uses."""
        return frozenset(chain.from_iterable(self.uses.values()))

    @cached_property
    def _children(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for edge in self.edges:
            if edge.child is not None:
                found.setdefault(edge.number, set()).add(edge.child)
        return found


def early_users(
    trace: CallTrace, owners: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """For each tied parameter the modules that make its uses which later ones depend on.

    A head that shares its weight with the embedding is used first and last. It is always kept; what
    a cut drops of it is the early uses, by detaching the outputs of the modules that make them
    (issue 5): one embedding, or one for each half of an encoder-decoder (issue 16).

    `owners` are, of each parameter that is used more than once, the modules that own it. One is
    left out where an early use is in no call of an owner, or the last is in a call of the same one.
    """
    uses: dict[str, list[int]] = defaultdict(list)
    wanted = trace.below(trace.reached if trace.settled else trace.roots)
    for number, names in sorted(trace.uses.items()):
        for name in owners.keys() & set(names) if number in wanted else ():
            uses[name].append(number)
    found = {}
    for name, numbers in sorted(uses.items()):
        early = trace.early_among(numbers)
        late = [number for number in numbers if number not in early]
        users = [_user(trace, owners[name], number, late) for number in early]
        if users and None not in users:
            found[name] = tuple(dict.fromkeys(user for user in users if user is not None))
    return found


def _user(
    trace: CallTrace, owners: Collection[str], number: int, late: Iterable[int]
) -> str | None:
    """The owner in a call of which a use is, if the late ones are in none of its calls."""
    for owner in owners:
        calls = trace.calls.get(owner, ())
        spans = [range(call.begin, call.end) for call in calls]
        if any(number in span for span in spans) and not any(n in s for n in late for s in spans):
            return owner
    return None
