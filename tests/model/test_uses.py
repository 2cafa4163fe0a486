"""Early uses of a parameter, in graphs written down as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.model.uses import below, early_among

# 9 is made with 7 and 4, 7 with 2, 8 with 2; 2 and 4 with nothing more
GRAPH = {9: {7, 4}, 7: {2}, 8: {2}}


@pytest.mark.parametrize(
    ("numbers", "found"),
    [([9], {9, 7, 4, 2}), ([7, 8], {7, 8, 2}), ([4], {4}), ([1], {1}), ([], set())],
)
def test_what_nodes_depend_on(numbers, found):
    assert below(GRAPH, numbers) == found


@pytest.mark.parametrize(
    ("uses", "early"),
    [
        ([7, 9], [7]),  # an embedding and a head
        ([7, 8], []),  # two heads
        ([7, 8, 9], [7]),
        ([2, 8], [2]),
        ([9], []),
        ([], []),
    ],
)
def test_early_is_what_a_later_use_depends_on(uses, early):
    assert early_among(GRAPH, uses) == early


def test_a_weight_that_is_transposed_is_used_after_that():
    """3 transposes the weight for the product 5, which depends on the use 1."""
    assert early_among({5: {4, 3}, 4: {1}}, [1, 3]) == [1]


@given(st.dictionaries(st.integers(1, 12), st.sets(st.integers(0, 11), min_size=1)), st.data())
def test_the_last_use_of_all_is_late_and_a_chain_is_early_but_for_it(edges, data):
    graph = {node: {c for c in own if c < node} or {node - 1} for node, own in edges.items()}
    uses = sorted(data.draw(st.sets(st.sampled_from(sorted({*graph, 0})), min_size=1)))
    assert uses[-1] not in early_among(graph, uses)
    chain = {node: {node - 1} for node in range(1, 13)}
    inner = [use for use in uses if use]
    assert early_among(chain, inner) == inner[:-1]
