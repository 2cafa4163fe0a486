"""Equality to the last bit, quick to see: it is asked of every tensor in every step."""

import torch


def are_equal(one, other):
    """Whether dense tensors are equal, their types and shapes included; no sparse ones are."""
    if one.layout != torch.strided or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one, other)


def assert_equal(one, other):
    """Of dictionaries of tensors; where they differ torch says how."""
    same = one.keys() == other.keys() and all(are_equal(one[name], other[name]) for name in one)
    if not same:
        torch.testing.assert_close(one, other, rtol=0, atol=0)
