"""What torch's FLOP counter lacks to watch whole steps.

Besides what `layerdropback.model.flops` has, it lacks the backward passes of fused layers, and
the weights' gradient of a grouped convolution is a dense one's to it.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ...model.flops import FORMULAS, Formula, Shape, by_operation, recurrent_layer, recurrent_stack


def corrections() -> dict[Any, Formula]:
    """For ``FlopCounterMode(custom_mapping=...)``.

    Example:
        >>> import torch
        >>> from torch.utils.flop_counter import FlopCounterMode
        >>> conv = torch.nn.Conv2d(8, 8, 1, groups=8, bias=False)  # 2 FLOPs for each of 8 outputs
        >>> out = conv(torch.ones(1, 8, 1, 1)).sum()
        >>> with FlopCounterMode(display=False, custom_mapping=corrections()) as counter:
        ...     out.backward()
        >>> counter.get_total_flops()
        16
    """
    return by_operation({**FORMULAS, **_BACKWARD})


def convolution_backward(
    grad_out: Shape, inputs: Shape, weight: Shape, *others: Any, **_: object
) -> int:
    """The gradients of inputs and of weights cost what the forward pass does, each."""
    transposed: bool = others[4]
    wanted: Sequence[bool] = others[7]  # of inputs, weights and biases
    places = inputs if transposed else grad_out
    return 2 * prod(places) * prod(weight[1:]) * sum(wanted[:2])


def attention_backward(
    grad_out: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object
) -> int:
    """The scores anew, and two products for each of the forward pass's two."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def recurrent_layer_backward(*shapes: Any, **_: object) -> int:
    """Every gradient, wanted or not: oneDNN does not know which are."""
    return 2 * recurrent_layer(*shapes)


def recurrent_stack_backward(
    inputs: Shape, weights: Sequence[Shape], *others: Any, **_: object
) -> int:
    """One kernel gives the gradients of inputs and of first states, another all weights'."""
    output_mask: Sequence[bool] = others[-1]
    return recurrent_stack(inputs, weights) * (1 + output_mask[3])


_BACKWARD: Mapping[str, Formula] = {
    "convolution_backward": convolution_backward,
    "_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward,
    "mkldnn_rnn_layer_backward": recurrent_layer_backward,
    "_cudnn_rnn_backward": recurrent_stack_backward,
}
