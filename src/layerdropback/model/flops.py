"""FLOPs of a forward pass, node by node, and of the backward pass that each node will bring."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry, shape_wrapper

from ..interop.private import TorchDispatchMode, next_number
from . import formulas
from .formulas import Formula, NodeFlops

# Operations that torch's own counter leaves out or has wrong. Old releases lack some of them.
_FORMULAS: Mapping[str, Formula] = {
    "convolution_backward": formulas.convolution_backward,
    "_scaled_dot_product_flash_attention_for_cpu": formulas.attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": formulas.attention_backward,
    "addmm_": formulas.added_product,
    "baddbmm_": formulas.added_product,
    "addbmm": formulas.added_product,
    "addbmm_": formulas.added_product,
    "_grouped_mm": formulas.grouped_product,
    "mv": formulas.vector_product,
    "dot": formulas.vector_product,
    "addmv": formulas.added_vector_product,
    "addmv_": formulas.added_vector_product,
    "conv_tbc": formulas.time_convolution,
    "_trilinear": formulas.trilinear,
    "mkldnn_rnn_layer": formulas.recurrent_layer,
    "mkldnn_rnn_layer_backward": formulas.recurrent_layer_backward,
    "_cudnn_rnn": formulas.recurrent_stack,
    "_cudnn_rnn_backward": formulas.recurrent_stack_backward,
}

# At which inputs of an operation a gradient costs a product as large as the forward pass's. That of
# a matrix that met a vector is no product but an outer one, element by element.
_FACTORS: Mapping[str, tuple[int, ...]] = {
    "mm": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "addmm_": (1, 2),
    "baddbmm": (1, 2),
    "baddbmm_": (1, 2),
    "addbmm": (1, 2),
    "addbmm_": (1, 2),
    "_grouped_mm": (0, 1),
    "mv": (1,),
    "dot": (),
    "addmv": (2,),
    "addmv_": (2,),
    "convolution": (0, 1),
}

# What the gradients cost, by the forward pass's cost, where a kernel gives all at once: attention
# makes the scores anew.
_AT_ONCE: Mapping[str, float] = {
    "_scaled_dot_product_flash_attention_for_cpu": 2.5,
    "_scaled_dot_product_flash_attention": 2.5,
    "_scaled_dot_product_efficient_attention": 2.5,
    "_scaled_dot_product_cudnn_attention": 2.5,
    "_flash_attention_forward": 2.5,
    "_efficient_attention_forward": 2.5,
    "conv_tbc": 2.0,
}

# All others whose gradients have costs that are known.
_NODES: Mapping[str, Callable[..., NodeFlops]] = {
    "_trilinear": formulas.trilinear_node,
    "mkldnn_rnn_layer": formulas.recurrent_layer_node,
    "_cudnn_rnn": formulas.cudnn_node,
}


def _present(names: Iterable[str]) -> Iterator[tuple[Any, str]]:
    """The operations that this torch has."""
    for name in names:
        if hasattr(torch.ops.aten, name):
            yield getattr(torch.ops.aten, name), name


def corrections() -> dict[Any, Formula]:
    """For ``FlopCounterMode(custom_mapping=...)``.

    Example:
        >>> from torch.utils.flop_counter import FlopCounterMode
        >>> conv = torch.nn.Conv2d(8, 8, 1, groups=8, bias=False)  # 2 FLOPs for each of 8 outputs
        >>> out = conv(torch.ones(1, 8, 1, 1)).sum()
        >>> with FlopCounterMode(display=False, custom_mapping=corrections()) as counter:
        ...     out.backward()
        >>> counter.get_total_flops()
        16
    """
    return {packet: _FORMULAS[name] for packet, name in _present(_FORMULAS)}


class ForwardFlops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, notes for each node of the graph what its backward pass will cost.

    What no gradient flows through is left out.

    Attributes:
        nodes: the costs, by the node's number in the graph.
        total: FLOPs of the forward pass itself, what no gradient flows through included.

    Example:
        >>> layer = torch.nn.Linear(4, 3, bias=False)
        >>> with ForwardFlops() as counter:
        ...     out = layer(torch.ones(2, 4))
        >>> counter.nodes[out.grad_fn._sequence_nr()]
        NodeFlops(edges={0: 48, 1: 48}, whole=0.0, shared=0.0)
    """

    supports_higher_order_operators = True  # flex_attention is one; it has no formula

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: dict[int, NodeFlops] = {}
        self.total = 0
        self._of_operations: set[int] = set()
        self._formulas: dict[Any, Any] = dict(flop_registry)
        for packet, formula in corrections().items():
            self._formulas[packet] = shape_wrapper(formula)  # type: ignore[no-untyped-call]
        self._factors = {packet: _FACTORS[name] for packet, name in _present(_FACTORS)}
        self._at_once = {packet: _AT_ONCE[name] for packet, name in _present(_AT_ONCE)}
        self._nodes: dict[Any, Any] = {
            packet: shape_wrapper(_NODES[name])  # type: ignore[no-untyped-call]
            for packet, name in _present(_NODES)
        }

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
        if differentiable and any(_wants_gradient(value) for value in args):
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
        if packet in self._nodes:
            node: NodeFlops = self._nodes[packet](*args, **kwargs, out_val=out)
            return node
        if packet in self._at_once:
            return NodeFlops(whole=self._at_once[packet] * flops)
        if packet in self._factors:
            return NodeFlops(dict.fromkeys(self._factors[packet], flops))
        return None


def _wants_gradient(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_wants_gradient(part) for part in value)
    return isinstance(value, Tensor) and value.requires_grad
