"""The order in which the workers of pytest-xdist get the tests."""

import pytest

from sharing_out import OTHERS, longest_first


class Item:
    def __init__(self, nodeid):
        self.nodeid = nodeid


@pytest.mark.parametrize(("others", "first"), [(OTHERS - 1, "long.txt"), (OTHERS + 1, "quick.txt")])
def test_a_test_that_takes_minutes_counts_as_many_others(others, first):
    quick = [Item(f"quick.txt::test_{number}") for number in range(others)]
    long = Item("long.txt::test")
    ordered = longest_first([*quick, long], {long})
    assert ordered[0].nodeid.partition("::")[0] == first
    assert [item for item in ordered if item is not long] == quick
