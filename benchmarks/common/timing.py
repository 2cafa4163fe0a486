"""Turns that arms take, and what their times are summed up to."""

import statistics
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def rotated(things: Sequence[T], number: int) -> list[T]:
    """In the order of a round: each begins in its turn, so that what disturbs one disturbs all.

    Example:
        >>> [rotated("abc", number) for number in range(2)]
        [['a', 'b', 'c'], ['b', 'c', 'a']]
    """
    first = number % len(things)
    return [*things[first:], *things[:first]]


def quartiles(values: Sequence[float], form: str) -> str:
    """Median with the quartiles around it.

    Example:
        >>> quartiles([1, 2, 3, 4, 5], ".1f")
        '3.0 [1.5, 4.5]'
    """
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
