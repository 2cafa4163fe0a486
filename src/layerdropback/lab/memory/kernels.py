"""On the CPU two functions keep more for the backward pass than on a GPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_ATTENTION = functional.scaled_dot_product_attention


class LikeCuda(TorchFunctionMode):
    """While it is entered, dropout keeps what CUDA's kernels keep.

    Dropout's mask is a byte for each number, not a number; and attention that drops weights keeps
    none of them, as attention that does not.

    Example:
        >>> ones = torch.ones(4, requires_grad=True)
        >>> with LikeCuda():
        ...     dropped = functional.dropout(ones, 0.5)
        >>> dropped.grad_fn._saved_result1.dtype
        torch.bool
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run a function of torch's, or what stands for it."""
        given = dict(kwargs or {})
        if func is functional.dropout:
            return _dropout(*args, **given)
        if func is _ATTENTION:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            elif "dropout_p" in given:
                given["dropout_p"] = 0.0
        return func(*args, **given)


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    if not training or inplace or not 0 < p < 1:
        return functional.dropout(input, p, training, inplace)
    dropped: torch.Tensor = torch.native_dropout(input, p, True)[0]
    return dropped
