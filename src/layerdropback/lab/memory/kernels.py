"""On the CPU two functions keep more for the backward pass than on a GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


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
