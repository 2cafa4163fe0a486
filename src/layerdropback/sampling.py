"""Which layers one step drops: pure functions of (seed, step, rates).

The random numbers come from Philox, a counter-based generator: a mask needs no generator state, so
it is the same on every rank and after a resume, and the global generators are never touched
(issue 2).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Rates = NDArray[np.float64]

# What a draw's index counts; the two never share a random number.
STEPS, EPOCHS = 0, 1


def random_numbers(seed: int, stream: int, index: int, count: int) -> NDArray[np.float64]:
    """Draw `count` numbers, uniform on [0, 1).

    Args:
        seed: any integer in [0, 2**64).
        stream: `STEPS` or `EPOCHS`.
        index: the step's or the epoch's number.
        count: how many.

    Returns:
        Shape ``(count,)``. Only raw generator output is used, which numpy promises never to change.

    Example:
        >>> bool((random_numbers(0, STEPS, 7, 3) == random_numbers(0, STEPS, 7, 3)).all())
        True
    """
    # As arrays: numpy would turn a list with a seed of 2**63 or more into rounded floats.
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    raw = generator.random_raw(count) >> np.uint64(11)
    return raw.astype(np.float64) * 2.0**-53


def uniform(rates: Rates, seed: int, stream: int, index: int) -> Mask:
    """Drop every layer by itself with its own probability (arXiv 2412.18027, section 3).

    Args:
        rates: each layer's drop rate, shape ``(layers,)``; 0 for a layer that is always kept.
        seed: see `random_numbers`, as are `stream` and `index`.
        stream: what `index` counts.
        index: the step's or the epoch's number.

    Returns:
        True where the layer is dropped, shape ``(layers,)``.

    Example:
        >>> uniform(np.array([0.0, 1.0]), seed=0, stream=STEPS, index=3).tolist()
        [False, True]
    """
    return random_numbers(seed, stream, index, len(rates)) < rates


def none(rates: Rates, seed: int, stream: int, index: int) -> Mask:
    """Drop nothing: the control that has the drop epochs' learning rate and batch alone."""
    return np.zeros(len(rates), dtype=np.bool_)


DRAW: dict[str, Callable[[Rates, int, int, int], Mask]] = {"uniform": uniform, "none": none}
