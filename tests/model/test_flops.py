"""FLOPs of operations that counters overlook, by formulas on shapes and by real operations."""

import itertools
from functools import partial

import pytest
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretelling import backward, count, foretell, leaf, spent
from layerdropback.model import flops
from layerdropback.model.flops import ForwardFlops


def test_attention_is_scores_and_their_product_with_the_values():
    query, key, value = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
    scores, mixed = 2 * (2 * 3 * 5 * 7) * 4, 2 * (2 * 3 * 5 * 7) * 6
    assert flops.attention(query, key, value) == scores + mixed


def test_experts_products_are_divided_among_them():
    assert flops.grouped_product((24, 16), (2, 16, 8)) == 2 * 24 * 16 * 8
    assert flops.grouped_product((2, 24, 16), (2, 16, 8)) == 2 * 2 * 24 * 16 * 8


def test_a_recurrent_layer_has_no_gradient_of_states_that_nobody_wants():
    node = flops.recurrent_layer_node((5, 2, 3), (16, 3), (16, 4), (), (), (2, 4))
    tokens, sequences = 5 * 2, 2
    assert node.edges[0] == node.edges[1] == 2 * tokens * 16 * 3
    assert node.edges[5] == 2 * sequences * 16 * 4
    assert node.whole + node.edges[5] == node.edges[2] == 2 * tokens * 16 * 4


M, K, N = 3, 8, 4
ONE = 2 * M * K * N  # a product of (M, K) and (K, N)


def fused(query, key, value, **settings):
    return functional.scaled_dot_product_attention(query, key, value, **settings)


def biased(query, key, value, bias):
    with sdpa_kernel(SDPBackend.MATH):  # as if the biases were trained, also while they are not
        return fused(query, key, value, attn_mask=bias)


# What is done, the shapes of what it is done to, and the FLOPs of its forward pass.
PRODUCTS = {
    "mm": (torch.mm, [(M, K), (K, N)], ONE),
    "addmm": (torch.addmm, [(N,), (M, K), (K, N)], ONE),
    "bmm": (torch.bmm, [(2, M, K), (2, K, N)], 2 * ONE),
    "baddbmm": (torch.baddbmm, [(2, M, N), (2, M, K), (2, K, N)], 2 * ONE),
    "linear of a vector": (functional.linear, [(K,), (N, K), (N,)], 2 * K * N),
    "mv": (torch.matmul, [(N, K), (K,)], 2 * K * N),
    "mv of a batch": (torch.matmul, [(2, M, K), (K,)], 2 * 2 * M * K),
    "addmv": (torch.addmv, [(N,), (N, K), (K,)], 2 * K * N),
    "einsum": (lambda *w: torch.einsum("bi,oi->bo", *w), [(M, K), (N, K)], ONE),
    "einsum of three": (
        lambda *w: torch.einsum("ni,oij,nj->no", *w),
        [(M, K), (N, K, 6), (M, 6)],
        2 * M * N * K * 6 + 2 * M * N * 6,
    ),
    "tensordot": (lambda *w: torch.tensordot(*w, 1), [(M, K), (K, N)], ONE),
    "attention": (fused, [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8)], 2 * (2 * 2 * 3 * 5 * 7 * 8)),
    "causal attention": (
        lambda *w: fused(*w, is_causal=True),
        [(2, 3, 5, 8)] * 3,
        2 * (2 * 2 * 3 * 5 * 5 * 8),
    ),
    "masked attention": (
        lambda *w: fused(*w, attn_mask=torch.ones(5, 7)),
        [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8)],
        2 * (2 * 2 * 3 * 5 * 7 * 8),
    ),
    "attention with biases": (
        biased,
        [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), (5, 7)],
        2 * (2 * 2 * 3 * 5 * 7 * 8),
    ),
    "attention with dropout": (
        lambda *w: fused(*w, dropout_p=0.1),
        [(2, 3, 5, 8)] * 3,
        2 * (2 * 2 * 3 * 5 * 5 * 8),
    ),
    "attention of groups": (
        lambda *w: fused(*w, enable_gqa=True),
        [(2, 4, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8)],
        2 * (2 * 2 * 4 * 5 * 5 * 8),
    ),
}
for dims, transposed, groups in itertools.product((1, 2, 3), (False, True), (1, 4, 8)):
    small = 2 * 2 * 8 * (8 // groups) * 3**dims  # at one place
    PRODUCTS[f"conv{dims}, {transposed=}, {groups=}"] = (
        lambda x, w, bias, dims=dims, transposed=transposed, groups=groups: getattr(
            functional, f"conv{'_transpose' * transposed}{dims}d"
        )(x, w, bias, groups=groups),
        [(2, 8, *[5] * dims), (8, 8 // groups, *[3] * dims), (8,)],
        small * (5 if transposed else 3) ** dims,
    )
if hasattr(functional, "grouped_mm"):
    offsets = torch.tensor([8, 24], dtype=torch.int32)
    PRODUCTS["grouped_mm"] = (
        lambda x, w: functional.grouped_mm(x.bfloat16(), w.bfloat16(), offs=offsets),
        [(24, 16), (2, 16, 8)],
        2 * 24 * 16 * 8,
    )


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_seen_and_their_gradients_foretold(name):
    """For each set of tensors that want a gradient, a real backward pass costs what was said."""
    work, shapes, expected = PRODUCTS[name]
    tensors = {str(place): leaf(*shape) for place, shape in enumerate(shapes)}
    total, costs = foretell(lambda: [work(*tensors.values())], tensors)
    assert total == expected
    for wanted in itertools.product((True, False), repeat=len(tensors)):
        if any(wanted):
            some = {name for name, flag in zip(tensors, wanted, strict=True) if flag}
            for name, tensor in tensors.items():
                tensor.requires_grad_(name in some)
            out = work(*tensors.values())
            found, _ = count(partial(backward, [out]))
            assert spent(costs, some) == found, some


def test_fused_attention_counts_as_much_as_its_products():
    query, key, value = (leaf(2, 3, 5, 8) for _ in range(3))
    fast, _ = count(lambda: fused(query, key, value))
    with sdpa_kernel(SDPBackend.MATH):
        slow, _ = count(lambda: fused(query, key, value))
    assert fast == slow


def test_products_where_gradients_are_off_bring_no_backward_pass():
    """A teacher's or a fixed point's; but within an ``autograd.Function`` they do."""
    weight = leaf(K, K)
    with ForwardFlops() as counter:
        out = leaf(M, K) @ weight
        before = dict(counter.nodes)
        with torch.no_grad():
            for _ in range(3):
                torch.tanh(out @ weight)
    assert counter.nodes == before
    assert counter.total == 4 * 2 * M * K * K
