"""Drop rates of a BERT's branches by what flows through each, for the regime of DropBP.

DropBP (NeurIPS 2024) drops branches in every step, each with a rate by its sensitivity, which it
measures by a backward pass for each branch. One pass is enough: of a residual sum's gradient, what
flows around the branch is that of the sum itself, and what flows through it is the rest of that of
the branch's input.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from layerdropback import Branch
from layerdropback.lab.branches import find_branches
from layerdropback.lab.calling import undisturbed
from layerdropback.model.branches import ResidualBranch
from layerdropback.settings import Settings
from layerdropback.training.dropping import Dropping

# No branch drops more often: it would hardly train.
MOST = 0.9
STEP = 0.1


class BranchRates(Dropping):
    """Branches that drop in every step, each with a rate of its own.

    Args:
        rates: of branches, by the name of any of their parameters.
        rate: the mean that they stand for.
    """

    def __init__(self, rates: Mapping[str, float], rate: float):
        super().__init__(strategy="branch", drop_rate=rate, every=1, start=0)
        self.rates = dict(rates)

    def settings(self, length: float | None = None, seed: int = 0) -> Settings:
        """See `Dropping`."""
        strategy = Branch(self.given["drop_rate"], rates=self.rates)
        return replace(super().settings(length, seed), strategy=strategy)

    def values(self) -> dict[str, Any]:
        """See `Dropping`."""
        return super().values() | {"rates": self.rates}


@dataclass(frozen=True)
class Flow:
    """One branch.

    Attributes:
        branch: as the library finds it.
        through: norm of the gradient that comes through the branch, over that which flows around.
    """

    branch: ResidualBranch
    through: float


def flows(model: nn.Module, inputs: Mapping[str, Tensor], labels: Tensor) -> list[Flow]:
    """Of every branch of a BERT-like model, from one backward pass; the model stays as it is."""
    found = find_branches(model, dict(inputs), lambda outputs: outputs.logits)
    gradients: dict[str, dict[str, Tensor]] = {branch.name: {} for branch in found}
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        for branch in found:
            for hook in _listening(model, branch.name, gradients[branch.name]):
                stack.callback(hook.remove)
        outputs = model(**inputs).logits
        loss = nn.functional.cross_entropy(outputs.float(), labels)
        torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
    return [Flow(branch, _ratio(gradients[branch.name])) for branch in found]


def _listening(
    model: nn.Module, name: str, found: dict[str, Tensor]
) -> Iterator[torch.utils.hooks.RemovableHandle]:
    """Hooks that keep the gradients of a branch's input and of the residual sum after it.

    In transformers' BERT a branch ends in a module whose sibling `LayerNorm` takes the sum, and
    begins with what its `attention`, or its `intermediate`, is called with.
    """
    before, _, _ = name.rpartition(".")
    block = before.rpartition(".")[0]  # ...layer.3.attention of ...layer.3.attention.output
    entrance = block if block.endswith("attention") else f"{block}.intermediate"

    def keep(key: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            args[0].register_hook(lambda gradient: found.__setitem__(key, gradient))

        return hook

    yield model.get_submodule(entrance).register_forward_pre_hook(keep("input"))
    yield model.get_submodule(f"{before}.LayerNorm").register_forward_pre_hook(keep("sum"))


def _ratio(found: Mapping[str, Tensor]) -> float:
    return float((found["input"] - found["sum"]).norm() / found["sum"].norm())


def rates_by_flow(found: list[Flow], rate: float) -> dict[str, float]:
    """The rates that skip as much as `rate` of each branch, and as little of what flows as can be.

    In steps of a tenth, where a tenth of a branch's cost loses the least, as DropBP does. A branch
    is named by its first parameter.

    Example:
        >>> small = Flow(ResidualBranch("small", ("w",), 0.2), 0.1)
        >>> large = Flow(ResidualBranch("large", ("v",), 0.2), 1.0)
        >>> rates_by_flow([small, large], 0.3)
        {'w': 0.6, 'v': 0.0}
    """
    rates = dict.fromkeys((flow.branch.parameter_names[0] for flow in found), 0.0)
    missing = rate * sum(flow.branch.share for flow in found)
    for flow in sorted(found, key=lambda flow: flow.through / flow.branch.share):
        steps = min(round(MOST / STEP), round(missing / flow.branch.share / STEP))
        rates[flow.branch.parameter_names[0]] = round(steps * STEP, 1)
        missing -= steps * STEP * flow.branch.share
    return rates
