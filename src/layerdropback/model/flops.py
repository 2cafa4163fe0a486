"""FLOPs of a forward pass, node by node, and of the backward pass that each node will bring."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import flop_registry, shape_wrapper

from ..interop.private import TorchDispatchMode, next_number
from . import formulas
from .formulas import Formula, NodeFlops
from .graph import output_tensors

# Operations that torch's own counter leaves out.
FORMULAS: Mapping[str, Formula] = {
    "_scaled_dot_product_flash_attention_for_cpu": formulas.attention,
    "_grouped_mm": formulas.grouped_product,
    "mv": formulas.vector_product,
    "addmv": formulas.vector_product,
    "mkldnn_rnn_layer": formulas.recurrent_layer,
    "_cudnn_rnn": formulas.recurrent_stack,
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
    "mkldnn_rnn_layer": formulas.recurrent_layer_node,
    "_cudnn_rnn": formulas.recurrent_stack_node,
}

Value = TypeVar("Value")


def by_operation(table: Mapping[str, Value]) -> dict[Any, Value]:
    """By the operations that this torch has; old releases lack some."""
    aten = torch.ops.aten
    return {getattr(aten, name): value for name, value in table.items() if hasattr(aten, name)}


class ForwardFlops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, notes for each node of the graph what its backward pass will cost.

    What no gradient flows through is left out.

    Attributes:
        nodes: the costs, by the node's number in the graph.
        total: FLOPs of the forward pass itself, what no gradient flows through included.
    """

    supports_higher_order_operators = True  # flex_attention is one; it has no formula

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: dict[int, NodeFlops] = {}
        self.total = 0
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
