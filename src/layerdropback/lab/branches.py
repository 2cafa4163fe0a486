"""A model's residual branches, for a user who wants to see them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from ..errors import AttachError, explain
from ..interop.wrappers import canonical_name, sharded_modules, unwrap
from ..model.branches import ResidualBranch, branches_of, module_sizes
from ..model.nested import map_tensors
from ..model.recorder import Watched
from ..model.recording import Recording
from .calling import Loss, call, first_output, undisturbed


def find_branches(
    model: nn.Module, batch: Any, loss: Loss | None = None
) -> tuple[ResidualBranch, ...]:
    """Find the branches that can be dropped, all at once if need be.

    The model is called once, as it is; what that changes (buffers, random generators, flags) is
    put back.

    Args:
        model: stays as it is. Frozen parameters count.
        batch: what the model is called with: a tensor, a tuple of arguments, or a mapping of
            keyword arguments.
        loss: makes a tensor of the model's outputs, through which all gradients come; by default
            the first floating-point tensor in them.

    Returns:
        The branches in the order in which the forward pass ends them.

    Raises:
        AttachError: there is none, as in a model without skip connections.

    Example:
        >>> import torch
        >>> class Residual(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.inner = nn.Linear(4, 4)
        ...     def forward(self, x):
        ...         return x + self.inner(x)
        >>> model = nn.Sequential(nn.Linear(3, 4), Residual(), nn.Linear(4, 2))
        >>> (branch,) = find_branches(model, torch.ones(1, 3))
        >>> branch.name, branch.parameter_names
        ('1.inner', ('1.inner.weight', '1.inner.bias'))
    """
    inner = unwrap(model)
    with ExitStack() as stack:
        stack.enter_context(undisturbed(inner))
        stack.enter_context(_all_trainable(inner))
        recording = Recording()
        stack.callback(recording.close)
        named = {canonical_name(name): p for name, p in inner.named_parameters()}
        recording.start(Watched(named, inner, sharded_modules(inner)))
        recording.begin_forward()
        batch = map_tensors(_with_gradient, batch)
        wanted = (loss or first_output)(call(inner, batch))
        trace = recording.saw_forward(wanted, batch)
    branches: tuple[ResidualBranch, ...] = ()
    if trace is not None:
        trace.reached.update(trace.roots)
        branches = branches_of(trace, module_sizes(inner))
    if not branches:
        fact = f"{type(inner).__name__} has no residual branch"
        cause = "no module's output can be detached so that gradients still flow past it"
        raise AttachError([explain(fact, cause, "use Truncate() or Uniform()")])
    return branches


@contextmanager
def _all_trainable(model: nn.Module) -> Iterator[None]:
    frozen = [p for p in model.parameters() if p.is_floating_point() and not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _with_gradient(tensor: Tensor) -> Tensor:
    """A copy, and no leaf: a forward pass may write to its batch."""
    copied = tensor.detach().clone()
    return copied.requires_grad_().clone() if tensor.is_floating_point() else copied
