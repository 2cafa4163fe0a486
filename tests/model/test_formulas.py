"""Formulas on shapes alone, by what they are products of; test_flops.py has real operations."""

from layerdropback.model import formulas


def test_attention_is_scores_and_their_product_with_the_values():
    query, key, value = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
    scores, mixed = 2 * (2 * 3 * 5 * 7) * 4, 2 * (2 * 3 * 5 * 7) * 6
    assert formulas.attention(query, key, value) == scores + mixed


def test_experts_products_are_divided_among_them():
    assert formulas.grouped_product((24, 16), (2, 16, 8)) == 2 * 24 * 16 * 8
    assert formulas.grouped_product((2, 24, 16), (2, 16, 8)) == 2 * 2 * 24 * 16 * 8


def test_a_recurrent_layer_has_no_gradient_of_states_that_nobody_wants():
    node = formulas.recurrent_layer_node((5, 2, 3), (16, 3), (16, 4), (), (), (2, 4))
    tokens, sequences = 5 * 2, 2
    assert node.edges[0] == node.edges[1] == 2 * tokens * 16 * 3
    assert node.edges[5] == 2 * sequences * 16 * 4
    assert node.whole + node.edges[5] == node.edges[2] == 2 * tokens * 16 * 4
