"""FLOPs of a forward pass, node by node, and of the backward pass that each node will bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, shape_wrapper

from ..interop.private import TorchDispatchMode, next_number
from .graph import output_tensors

Shape = Sequence[int]
Formula = Callable[..., int]


@dataclass(frozen=True)
class NodeFlops:
    """What one node of the graph costs in the backward pass, in FLOPs."""

    edges: Mapping[int, float] = field(default_factory=dict)  # of each input that wants a gradient
    whole: float = 0.0  # as soon as any input does
    shared: float = 0.0  # of all inputs together, where it is not known which cost what


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


# Operations that torch's own counter leaves out.
FORMULAS: Mapping[str, Formula] = {
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_grouped_mm": grouped_product,
    "mv": vector_product,
    "addmv": vector_product,
    "mkldnn_rnn_layer": recurrent_layer,
    "_cudnn_rnn": recurrent_stack,
}

# What an operation's gradients cost: at these of its inputs a product as large as the forward
# pass's; or, where a kernel gives all at once, so many times the forward pass's cost (attention
# makes the scores anew); or what a function of its arguments says. The gradient of a matrix that
# met a vector is no product but an outer one, element by element.
_GRADIENTS: Mapping[str, tuple[int, ...] | float | Callable[..., NodeFlops]] = {
    "mm": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "baddbmm": (1, 2),
    "_grouped_mm": (0, 1),
    "convolution": (0, 1),
    "mv": (1,),
    "addmv": (2,),
    "_scaled_dot_product_flash_attention_for_cpu": 2.5,
    "_scaled_dot_product_flash_attention": 2.5,
    "_scaled_dot_product_efficient_attention": 2.5,
    "_scaled_dot_product_cudnn_attention": 2.5,
    "_flash_attention_forward": 2.5,
    "_efficient_attention_forward": 2.5,
    "mkldnn_rnn_layer": recurrent_layer_node,
    "_cudnn_rnn": recurrent_stack_node,
}


def by_operation(table: Mapping[str, Any]) -> dict[Any, Any]:
    """By the operations that this torch has; old releases lack some."""
    aten = torch.ops.aten
    return {getattr(aten, name): value for name, value in table.items() if hasattr(aten, name)}


class ForwardFlops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, notes for each node of the graph what its backward pass will cost.

    What no gradient flows through is left out.
    """

    supports_higher_order_operators = True  # flex_attention is one; it has no formula

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: dict[int, NodeFlops] = {}  # by the node's number
        self.total = 0  # of the forward pass itself, what no gradient flows through included
        self._of_operations: set[int] = set()
        self._formulas: dict[Any, Any] = dict(flop_registry)
        for packet, formula in by_operation(FORMULAS).items():
            self._formulas[packet] = shape_wrapper(formula)  # type: ignore[no-untyped-call]
        self._gradients = by_operation(_GRADIENTS)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        number, records = next_number() - 1, torch.is_grad_enabled()
        if records:
            self._of_operations.add(number)  # the node was made just before the operation ran
        packet = getattr(func, "overloadpacket", None)
        if packet not in self._formulas:
            return out
        flops = self._formulas[packet](*args, **kwargs, out_val=out)
        self.total += flops
        # In an autograd.Function gradients are off, and its node was just made. Under no_grad the
        # last node is another operation's, and no backward pass will follow.
        differentiable = records or number not in self._of_operations
        if differentiable and any(tensor.requires_grad for tensor in output_tensors(args)):
            before = self.nodes.get(number, NodeFlops())
            known = self._known(packet, flops, args, kwargs, out)
            if known is None or not records:
                # A function of the user's own, say: two products for each one of the forward pass.
                self.nodes[number] = replace(before, shared=before.shared + 2 * flops)
            else:
                self.nodes[number] = replace(known, shared=before.shared)
        return out

    def _known(
        self, packet: Any, flops: float, args: Any, kwargs: Mapping[str, Any], out: Any
    ) -> NodeFlops | None:
        """What the operation's gradients cost, where that is known."""
        gradients = self._gradients.get(packet)
        if isinstance(gradients, tuple):
            return NodeFlops(dict.fromkeys(gradients, flops))
        if isinstance(gradients, float):
            return NodeFlops(whole=gradients * flops)
        if gradients is None:
            return None
        node: NodeFlops = shape_wrapper(gradients)(*args, **kwargs, out_val=out)  # type: ignore[no-untyped-call]
        return node
