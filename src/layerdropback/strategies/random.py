"""Random numbers that depend on (seed, stream, index) alone, and the names of all streams.

They come from Philox, a counter-based generator: a mask needs no generator state, so it is the same
on every rank and after a resume, and the global generators are never touched (issue 2).
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]


class Stream(IntEnum):
    """What draws from a seed, the trainer's data too; no two share a random number."""

    MASK = 0
    POOL = 1
    POOL_TURN = 2
    DATA_CROP = 16
    DATA_ORDER = 17
    DATA_IMAGE = 18
    DATA_MIX = 19


def random_numbers(seed: int, stream: Stream, index: int, count: int) -> Rates:
    """Numbers uniform on [0, 1), shape ``(count,)``, for any seed in [0, 2**64).

    Only raw generator output is used, which numpy promises never to change.
    """
    # As arrays: numpy would turn a list with a seed of 2**63 or more into rounded floats.
    key = np.array([seed, int(stream)], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    raw = generator.random_raw(count) >> np.uint64(11)
    return raw.astype(np.float64) * 2.0**-53
