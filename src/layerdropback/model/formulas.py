"""FLOPs of operations that `torch.utils.flop_counter` counts as nothing.

It has no fused recurrent layers, no fused attention of the CPU, no products with vectors and no
experts' products.
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


def attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Scores, and their product with the values."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def grouped_product(left: Shape, right: Shape, *_: object, **__: object) -> int:
    """Experts' products: groups divide what one of the two has no dimension of groups for."""
    groups = left[0] if len(left) == len(right) == 3 else 1
    return 2 * groups * left[-2] * left[-1] * right[-1]


def vector_product(*shapes: Shape, **_: object) -> int:
    """Of a matrix with a vector; what they are added to, if to anything, comes before them."""
    return 2 * prod(shapes[-2])


def recurrent_layer(
    inputs: Shape, weight_ih: Shape, weight_hh: Shape, *_: object, **__: object
) -> int:
    """One layer and direction of an LSTM in oneDNN."""
    return 2 * prod(inputs[:-1]) * (prod(weight_ih) + prod(weight_hh))


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


def recurrent_stack_node(
    inputs: Shape, weights: Sequence[Shape], stride: int, *others: Any, **_: object
) -> NodeFlops:
    """What is wanted of it, as if time steps were written out.

    The kernels give some gradients unasked, but that is no reason for another cut, which would then
    depend on the device. Gradients through time, and from layer to layer, flow in any case; only
    those of the first states are somebody's own.

    Args:
        inputs: ``(time, batch, features)``, these two the other way round, or packed.
        weights: of all layers and directions, those of the first layer first.
        stride: tensors of one layer and direction: its input's and its state's weight are first.
        *others: the first states, ``(layers and directions, batch, features)``, are the second of
            them, and the number of layers is the seventh.
    """
    hidden, layers = others[1], others[6]
    tokens = prod(inputs[:-1])
    directions = len(weights) // stride // layers
    of_inputs = 2 * tokens * sum(prod(weight) for weight in weights[: directions * stride : stride])
    of_states = 2 * hidden[1] * sum(prod(weight) for weight in weights[1::stride])
    edges = {
        place: 2 * tokens * prod(weight)
        for place, weight in enumerate(weights, start=1)
        if len(weight) == 2
    }
    whole = sum(edges.values()) - of_inputs - of_states
    return NodeFlops({0: of_inputs, 1 + len(weights): of_states} | edges, whole)
