"""Layers that drop together, because residual branches do."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import networkx

from .branches import ResidualBranch
from .layers import Layer


@dataclass(frozen=True)
class Group:
    """Layers that drop together, because branches do.

    Attributes:
        layers: their indices, rising.
        modules: the names of those whose outputs are cut off.
        share: of the backward pass's FLOPs, what is skipped with them.
    """

    layers: tuple[int, ...]
    modules: tuple[str, ...]
    share: float = 0.0


def make_groups(
    layers: Sequence[Layer], branches: Sequence[ResidualBranch], reached: Container[str]
) -> Iterator[Group]:
    """Join the branches that share a layer, and leave out what a layer has outside of branches.

    What the loss has not `reached`, as it is frozen, has no say.
    """
    of_name = {name: b for b, branch in enumerate(branches) for name in branch.parameter_names}
    graph: networkx.Graph = networkx.Graph()
    for i, layer in enumerate(layers):
        for name in layer.parameter_names:
            if name in reached or name in of_name:
                graph.add_edge(("layer", i), ("branch", of_name.get(name, -1)))
    for part in networkx.connected_components(graph):
        if ("branch", -1) in part:
            continue
        mine = sorted(i for kind, i in part if kind == "layer")
        ends = sorted(b for kind, b in part if kind == "branch")
        share = float(sum(branches[b].share for b in ends))
        yield Group(tuple(mine), tuple(branches[b].name for b in ends), share)
