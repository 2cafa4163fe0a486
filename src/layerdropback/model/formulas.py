"""FLOPs of operations that `torch.utils.flop_counter` counts as nothing, or counts wrongly.

It has no fused recurrent layers, no fused attention of the CPU, no products with vectors, and no
products in place; and the weights' gradient of a grouped convolution is a dense one's to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

Shape = Sequence[int]
Formula = Callable[..., int]


@dataclass(frozen=True)
class NodeFlops:
    """What one node of the graph costs in the backward pass.

    Attributes:
        edges: FLOPs for each input that wants a gradient, by its position.
        whole: FLOPs as soon as any does.
        shared: FLOPs of all inputs together, where it is not known which cost what.
    """

    edges: Mapping[int, float] = field(default_factory=dict)
    whole: float = 0.0
    shared: float = 0.0


def convolution_backward(
    grad_out: Shape,
    inputs: Shape,
    weight: Shape,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: int,
    output_mask: Sequence[bool],
    **_: object,
) -> int:
    """The gradients of inputs and of weights cost what the forward pass does, each."""
    places = inputs if transposed else grad_out
    return 2 * prod(places) * prod(weight[1:]) * sum(output_mask[:2])


def attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Scores, and their product with the values."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def attention_backward(
    grad_out: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object
) -> int:
    """The scores anew, and two products for each of the forward pass's two."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def added_product(added: Shape, left: Shape, right: Shape, **_: object) -> int:
    """Of matrices, or of batches of them, added to something."""
    return 2 * prod(left) * right[-1]


def grouped_product(left: Shape, right: Shape, *_: object, **__: object) -> int:
    """Experts' products: groups divide what one of the two has no dimension of groups for."""
    groups = left[0] if len(left) == len(right) == 3 else 1
    return 2 * groups * left[-2] * left[-1] * right[-1]


def vector_product(matrix: Shape, vector: Shape, **_: object) -> int:
    """Of a matrix, or a vector, with a vector."""
    return 2 * prod(matrix)


def added_vector_product(added: Shape, matrix: Shape, vector: Shape, **_: object) -> int:
    """The same, added to something."""
    return 2 * prod(matrix)


def time_convolution(inputs: Shape, weight: Shape, bias: object, padding: int = 0, **_: Any) -> int:
    """`conv_tbc`, which leaves the padding out."""
    length, width = inputs[0], weight[0]
    outputs = length + 2 * padding - width + 1
    reached = sum(
        max(0, min(length + padding - at, outputs) - max(0, padding - at)) for at in range(width)
    )
    return 2 * reached * inputs[1] * prod(weight[1:])


def trilinear(
    first: Shape,
    second: Shape,
    third: Shape,
    expand_first: Sequence[int],
    expand_second: Sequence[int],
    expand_third: Sequence[int],
    summed: Sequence[int],
    unrolled: int = 1,
    **_: object,
) -> int:
    """The product of the first two, and of that with the third; `torch.nn.Bilinear` is one."""
    one, two, three = (
        _expanded(first, expand_first),
        _expanded(second, expand_second),
        _expanded(third, expand_third),
    )
    pair = [max(sizes) for sizes in zip(one, two, strict=True)]
    gone = set(summed) & set(expand_third) - {unrolled}
    left = [1 if at in gone else size for at, size in enumerate(pair)]
    return 2 * prod(pair) + 2 * prod(max(sizes) for sizes in zip(left, three, strict=True))


def trilinear_node(*shapes: Any, out_shape: Shape) -> NodeFlops:
    """Each gradient is such a product, in which the output's stands for the input."""
    one, two, three, expand_one, expand_two, expand_three, summed = shapes[:7]
    rest = (expand_one, expand_two, expand_three)
    return NodeFlops(
        {
            0: trilinear(out_shape, two, three, summed, expand_two, expand_three, expand_one),
            1: trilinear(one, out_shape, three, expand_one, summed, expand_three, expand_two),
            2: trilinear(one, two, out_shape, *rest[:2], summed, expand_three),
        }
    )


def _expanded(shape: Shape, places: Sequence[int]) -> list[int]:
    full = list(shape)
    for place in sorted(places):
        full.insert(place, 1)
    return full


def recurrent_layer(
    inputs: Shape, weight_ih: Shape, weight_hh: Shape, *_: object, **__: object
) -> int:
    """One layer and direction of an LSTM in oneDNN."""
    return 2 * prod(inputs[:-1]) * (prod(weight_ih) + prod(weight_hh))


def recurrent_layer_backward(*shapes: Any, **_: object) -> int:
    """Every gradient, wanted or not: oneDNN is never told which are."""
    return 2 * recurrent_layer(*shapes)


def recurrent_layer_node(
    inputs: Shape, weight_ih: Shape, weight_hh: Shape, *others: Any, **_: object
) -> NodeFlops:
    """What is wanted of it, as if time steps were written out; see `recurrent_stack_node`."""
    hidden: Shape = others[2]  # after two biases
    tokens, sequences = prod(inputs[:-1]), prod(hidden[:-1])
    of_inputs, through_time = 2 * tokens * prod(weight_ih), 2 * tokens * prod(weight_hh)
    at_start = 2 * sequences * prod(weight_hh)
    edges = {0: of_inputs, 1: of_inputs, 2: through_time, 5: at_start}
    return NodeFlops(edges, whole=through_time - at_start)


def recurrent_stack(inputs: Shape, weights: Sequence[Shape], *_: object, **__: object) -> int:
    """All layers and directions of cuDNN's: each matrix meets each time step."""
    return 2 * prod(inputs[:-1]) * sum(prod(weight) for weight in weights if len(weight) == 2)


def recurrent_stack_backward(
    inputs: Shape, weights: Sequence[Shape], *others: Any, **_: object
) -> int:
    """One kernel gives the gradients of inputs and of first states, another all weights'."""
    output_mask: Sequence[bool] = others[-1]
    return recurrent_stack(inputs, weights) * (1 + output_mask[3])


def cudnn_node(
    inputs: Shape,
    weights: Sequence[Shape],
    stride: int,
    buffer: object,
    hidden: Shape,
    cell: object,
    mode: object,
    size: object,
    projected: object,
    layers: int,
    *_: object,
    **__: object,
) -> NodeFlops:
    """See `recurrent_stack_node`."""
    return recurrent_stack_node(inputs, weights, stride, hidden, layers)


def recurrent_stack_node(
    inputs: Shape, weights: Sequence[Shape], stride: int, hidden: Shape, layers: int
) -> NodeFlops:
    """What is wanted of it, as if time steps were written out.

    The kernels give some gradients unasked, but that is no reason for another cut, which would then
    depend on the device. Gradients through time, and from layer to layer, flow in any case; only
    those of the first states are somebody's own.

    Args:
        inputs: ``(time, batch, features)``, these two the other way round, or packed.
        weights: of all layers and directions, those of the first layer first.
        stride: tensors of one layer and direction: its input's and its state's weight are first.
        hidden: ``(layers and directions, batch, features)``.
        layers: their number.

    Example:
        >>> lstm = [(12, 2), (12, 3), (12,), (12,)]
        >>> recurrent_stack_node((5, 1, 2), lstm, stride=4, hidden=(1, 1, 3), layers=1)
        NodeFlops(edges={0: 240, 1: 240, 2: 360, 5: 72}, whole=288, shared=0.0)
    """
    tokens = prod(inputs[:-1])
    directions = len(weights) // stride // layers
    of_inputs = sum(prod(weight) for weight in weights[: directions * stride : stride])
    of_states = sum(prod(weight) for weight in weights[1::stride])
    edges = {
        place: 2 * tokens * prod(weight)
        for place, weight in enumerate(weights, start=1)
        if len(weight) == 2
    }
    everything = sum(edges.values())
    edges = {0: 2 * tokens * of_inputs} | edges
    edges[1 + len(weights)] = 2 * hidden[1] * of_states
    return NodeFlops(edges, whole=everything - edges[0] - edges[1 + len(weights)])
