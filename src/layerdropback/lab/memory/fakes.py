"""A model without data, that behaves as if it were on its device."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError, explain
from ...interop.private import asks_for_numbers, fake_mode
from .ledger import Ledger


class FakeLedger(Ledger):  # type: ignore[no-untyped-call]
    """A ledger of tensors without data.

    Where code asks for a number, which no such tensor has, it gets 1 (or True): a loss that is
    logged, a check whether there are gradients, or whether weights stand still.
    """

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """See `Ledger`; the answer where a number is asked for."""
        try:
            return super().run(func, args, kwargs)
        except RuntimeError as error:
            needs = asks_for_numbers(error)
            if needs is False:
                raise
            if needs is None or not (args and isinstance(args[0], Tensor)):
                fact = f"the memory of this model cannot be predicted: it calls {func}"
                cause = "what comes out has a shape that depends on numbers, and there are none"
                cure = "count a real step instead, with layerdropback.lab.count_memory"
                raise UsageError(explain(fact, cause, cure)) from error
            return _one(args[0].dtype) if func is torch.ops.aten._local_scalar_dense.default else 1


def _one(dtype: torch.dtype) -> bool | int | float | complex:
    if dtype == torch.bool:
        return True
    if dtype.is_complex:
        return 1 + 0j
    return 1.0 if dtype.is_floating_point else 1


@contextmanager
def without_data() -> Iterator[None]:
    """While it lasts, tensors have no data."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_off, log.disabled = log.disabled, True  # it logs errors that are raised as well
    with warnings.catch_warnings(), _as_in_training(), fake_mode():
        # LayerDropBack looks whether parameters share memory.
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        try:
            yield
        finally:
            log.disabled = was_off


@contextmanager
def _as_in_training() -> Iterator[None]:
    """While it lasts, transformers does not take tensors without data for a graph being traced.

    It would make attention masks that a training step does not make.
    """
    utils: Any = sys.modules.get("transformers.utils.import_utils")
    before = getattr(utils, "is_fake_tensor", None)  # older releases do not ask
    if before is None:
        yield
        return
    utils.is_fake_tensor = lambda tensor: False
    try:
        yield
    finally:
        utils.is_fake_tensor = before


def on_meta(make_model: Callable[[], nn.Module]) -> nn.Module:
    """Make a model without memory for its weights, where its code can do that."""
    # Models' modules may load it, and it makes numbers when it is loaded, which "meta" has none of.
    import_module("torch._dynamo")
    try:
        with torch.device("meta"):
            return make_model()
    except (RuntimeError, NotImplementedError):  # it looks at numbers that it has made itself
        return make_model()


def fake_twin(model: nn.Module) -> nn.Module:
    """Put fake tensors in the place of a model's own; what was tied is tied. Made in place.

    Parameters, buffers, and tensors that are mere attributes of a module; to be called where
    tensors have no data.
    """
    made: dict[int, tuple[Tensor, Tensor]] = {}  # with the old one, so that its id stays its own

    def twin(old: Tensor) -> Tensor:
        if id(old) not in made:
            new = torch.empty_strided(old.shape, old.stride(), dtype=old.dtype, device="cpu")
            if isinstance(old, nn.Parameter):
                new = nn.Parameter(new, old.requires_grad)
            made[id(old)] = new, old
        return made[id(old)][0]

    for module in model.modules():
        own: dict[str, Tensor] = {}
        own.update(module.named_parameters(recurse=False, remove_duplicate=False))
        own.update(module.named_buffers(recurse=False, remove_duplicate=False))
        own.update((name, v) for name, v in vars(module).items() if isinstance(v, Tensor))
        for name, tensor in own.items():
            setattr(module, name, twin(tensor))
    return model


@contextmanager
def like_cuda() -> Iterator[None]:
    """While it lasts, dropout keeps what CUDA's kernels keep.

    Dropout's mask is a byte for each number, not a number; and attention that drops weights keeps
    none of them, as attention that does not. The functions are exchanged where modules look them
    up, for a mode of torch's is off while a backward pass runs, in which checkpointed parts run.

    Example:
        >>> ones = torch.ones(4, requires_grad=True)
        >>> with like_cuda():
        ...     dropped = functional.dropout(ones, 0.5)
        >>> dropped.grad_fn._saved_result1.dtype
        torch.bool
    """
    names = {"dropout": _dropout, "scaled_dot_product_attention": _attention}
    before = {name: getattr(functional, name) for name in names}
    for name, like in names.items():
        setattr(functional, name, like(before[name]))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(functional, name, function)


def _dropout(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def dropout(
        input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or inplace or not 0 < p < 1:
            return function(input, p, training, inplace)
        dropped: Tensor = torch.native_dropout(input, p, True)[0]
        return dropped

    return dropout


def _attention(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **more: Any,
    ) -> Tensor:
        return function(query, key, value, attn_mask, 0.0, is_causal, **more)

    return attention
