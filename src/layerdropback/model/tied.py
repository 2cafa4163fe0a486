"""The early use of a tied parameter: which module makes it, so that a cut can detach that module.

A head that shares its weight with the embedding is used first and last. It is always kept; what a
cut drops of it is the early use, by detaching the output of the module that makes it (issue 5).
"""

from collections import defaultdict
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import torch
from torch import nn

from ..interop.wrappers import canonical_name, unwrap
from ..lab.profiling.trial import Call, Trial, first_output
from .graph import edges, graph_roots


def early_users(model: nn.Module, arguments: Call, names: AbstractSet[str]) -> dict[str, str]:
    """For each tied parameter the module that makes all of its uses but the last.

    Args:
        model: stays as it is; a copy without data makes a forward pass.
        arguments: of a call.
        names: of parameters that are used more than once.

    Returns:
        Names of modules. A parameter whose early uses are in no single module of its owners, called
        once, is left out.

    Example:
        >>> class Tied(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.tokens, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        ...         self.head.weight = self.tokens.weight
        ...     def forward(self, x):
        ...         return self.head(self.tokens(x))
        >>> early_users(Tied(), Call((torch.tensor([1, 2]),), {}), {"tokens.weight"})
        {'tokens.weight': 'tokens'}
    """
    if not names:
        return {}
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
        uses, calls = _trace(unwrap(model), arguments, names)
    found = {}
    for name in sorted(names & uses.keys()):
        *early, last = sorted(uses[name])
        for user, spans in calls[name].items():
            if len(spans) == 1 and early:
                begin, end = spans[0]
                if begin < early[0] and early[-1] < end <= last:
                    found[name] = user
    return found


def _trace(
    model: nn.Module, arguments: Call, names: AbstractSet[str]
) -> tuple[dict[str, set[int]], dict[str, dict[str, list[list[int]]]]]:
    """The nodes in which each parameter is used, and when each of its owners was called."""
    trial = Trial(model, arguments, first_output)
    tied = {
        id(parameter): canonical_name(name)
        for name, parameter in trial.model.named_parameters(remove_duplicate=False)
        if canonical_name(name) in names
    }
    calls: dict[str, dict[str, list[list[int]]]] = defaultdict(dict)
    for place, module in trial.model.named_modules():
        owned = {id(p) for p in module.parameters(recurse=False)} & tied.keys()
        for key in owned:
            spans: list[list[int]] = []
            calls[tied[key]][canonical_name(place)] = spans
            module.register_forward_pre_hook(partial(_begins, spans))
            module.register_forward_hook(partial(_ends, spans))
    uses: dict[str, set[int]] = defaultdict(set)
    for edge in edges(graph_roots(trial.forward())):
        if edge.leaf is not None and id(edge.leaf) in tied:
            uses[tied[id(edge.leaf)]].add(edge.number)
    return uses, calls


def _begins(spans: list[list[int]], module: nn.Module, args: Any) -> None:
    spans.append([_now()])


def _ends(spans: list[list[int]], module: nn.Module, args: Any, output: Any) -> None:
    spans[-1].append(_now())


def _now() -> int:
    """The number that the graph's next node would get, about."""
    node = torch.ones((), requires_grad=True).exp().grad_fn
    assert node is not None
    return node._sequence_nr()
