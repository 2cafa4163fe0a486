"""FLOPs of a forward pass, node by node, and of the backward pass that each node will bring.

The formulas are those of `torch.utils.flop_counter`, but for two: its weights' gradient of a
grouped convolution is that of a dense one, and it leaves the CPU's fused attention out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

_aten = torch.ops.aten
_CPU_ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"

Shape = Sequence[int]


def _convolution_backward(
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
    out_shape: object = None,
) -> int:
    """The gradients of inputs and of weights cost what the forward pass does, each."""
    places = inputs if transposed else grad_out
    return 2 * prod(places) * prod(weight[1:]) * sum(output_mask[:2])


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(
    grad_out: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object
) -> int:
    """The scores anew, and two products for each of the forward pass's two."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def corrections() -> dict[Any, Callable[..., int]]:
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
    found: dict[Any, Callable[..., int]] = {_aten.convolution_backward: _convolution_backward}
    if hasattr(_aten, _CPU_ATTENTION):
        found[getattr(_aten, _CPU_ATTENTION)] = _attention
        found[getattr(_aten, f"{_CPU_ATTENTION}_backward")] = _attention_backward
    return found


# At which inputs of an operation a gradient costs a product as large as the forward pass's.
_FACTORS: dict[Any, tuple[int, ...]] = {
    _aten.mm: (0, 1),
    _aten.bmm: (0, 1),
    _aten.addmm: (1, 2),
    _aten.baddbmm: (1, 2),
    _aten.convolution: (0, 1),
}
_FUSED = frozenset(
    getattr(_aten, name)
    for name in (
        _CPU_ATTENTION,
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_flash_attention_forward",
        "_efficient_attention_forward",
    )
    if hasattr(_aten, name)
)
_KNOWN = _FACTORS.keys() | _FUSED


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

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: dict[int, NodeFlops] = {}
        self.total = 0.0
        self._formulas: dict[Any, Any] = dict(flop_registry)
        for packet, formula in corrections().items():
            self._formulas[packet] = shape_wrapper(formula)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet not in self._formulas:
            return out
        flops = self._formulas[packet](*args, **kwargs, out_val=out)
        self.total += flops
        if any(_wants_gradient(value) for value in args):
            # The node was made just before the operation ran.
            number = torch.autograd._get_sequence_nr() - 1  # type: ignore[attr-defined]
            self.nodes[number] = self._with(packet, flops, self.nodes.get(number))
        return out

    def _with(self, packet: Any, flops: float, before: NodeFlops | None) -> NodeFlops:
        """What a node costs that stands for this operation too."""
        before = before or NodeFlops()
        if not torch.is_grad_enabled() or packet not in _KNOWN:
            # A function of the user's own, say: two products for each one of the forward pass.
            return replace(before, shared=before.shared + 2 * flops)
        if packet in _FUSED:  # gives all of its gradients at once, with the scores made anew
            return replace(before, whole=2.5 * flops)
        return replace(before, edges=dict.fromkeys(_FACTORS[packet], flops))


def _wants_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
