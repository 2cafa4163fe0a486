"""Formulas of backward passes on shapes alone; tests/model/test_flops.py has real operations."""

from layerdropback.lab.profiling.corrections import (
    attention_backward,
    convolution_backward,
    recurrent_stack_backward,
)
from layerdropback.model.flops import recurrent_stack


def test_a_convolutions_gradients_cost_what_the_forward_pass_does():
    grad_out, inputs, weight = (2, 16, 5, 5), (2, 8, 7, 7), (16, 2, 3, 3)  # 4 groups
    rest = (None, 1, 0, 1, False, 0, 4)
    forward = 2 * (2 * 16 * 5 * 5) * (2 * 3 * 3)
    for mask, factor in (((1, 1, 1), 2), ((1, 0, 0), 1), ((0, 1, 0), 1), ((0, 0, 1), 0)):
        found = convolution_backward(grad_out, inputs, weight, *rest, mask)
        assert found == factor * forward


def test_attention_makes_its_scores_anew_in_the_backward_pass():
    query, key, value = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
    scores, mixed = 2 * (2 * 3 * 5 * 7) * 4, 2 * (2 * 3 * 5 * 7) * 6
    backward = attention_backward((2, 3, 5, 6), query, key, value)
    assert backward == scores + 2 * (scores + mixed)


def test_cudnns_backward_pass_is_counted_by_what_it_is_asked_for():
    inputs, weights = (7, 3, 5), [(16, 5), (16, 4), (16,), (16,)] * 2
    forward = recurrent_stack(inputs, weights)
    for mask, passes in (((True,) * 4, 2), ((True, False, False, False), 1)):
        assert recurrent_stack_backward(inputs, weights, 4, mask) == passes * forward
