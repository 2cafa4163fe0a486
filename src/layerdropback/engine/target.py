"""What LayerDropBack is attached to."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer, SparseAdam

from ..interop.private import stored_values
from ..interop.wrappers import called_module, sharded_modules, unwrap
from ..model.layers import Layer


class Target:
    """A model, its layers in the order in which masks number them, and its optimizers."""

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer], layers: Sequence[Layer]):
        self.model, self.optimizers, self.layers = model, tuple(optimizers), tuple(layers)
        self.called = called_module(model)  # its call is the forward pass
        self.inner = unwrap(model)  # the user's own
        self.sharded = sharded_modules(model)  # by ``fully_shard``
        self.adopted: list[DistributedDataParallel] = []  # put around it, or in it, since

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter once, by the name that its layer gives it."""
        return chain.from_iterable(layer.named() for layer in self.layers)

    def count_layers(self, parameters: Iterable[Tensor]) -> int:
        """How many layers some of these parameters are of."""
        ids = set(map(id, parameters))
        return sum(not ids.isdisjoint(map(id, layer.parameters)) for layer in self.layers)

    def held(self) -> list[set[int]]:
        """For each optimizer the ``id`` of each of its parameters."""
        return [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in self.optimizers
        ]

    def needing(self, scaled: bool) -> list[set[int]]:
        """As `held`, but only of the optimizers that must have a gradient in every step.

        ``GradScaler`` fails on each that has none; `scaled` says that it makes the steps.
        `SparseAdam` is for embedding tables alone; with a layer kept there, nothing above it could
        be cut off.
        """
        every = zip(self.optimizers, self.held(), strict=True)
        return [held for o, held in every if scaled or not isinstance(o, SparseAdam)]

    def has_gradients(self) -> bool:
        """Whether any gradient is there that is not zero. Asks the device."""
        named = self.named_parameters()
        return any(p.grad is not None and is_something(p.grad) for _, p in named)


def is_something(gradient: Tensor) -> bool:
    """Whether a gradient, which may be sparse, has a number that is not zero."""
    return bool(stored_values(gradient).any())
