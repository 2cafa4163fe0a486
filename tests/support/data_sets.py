"""What the tests of data sets have in common."""

import numpy as np
import pytest

from layerdropback import UsageError
from layerdropback.training.images.data import load_data


def some_pixels(*shape):
    return np.random.default_rng(len(shape)).integers(0, 256, shape, dtype=np.uint8)


def told(spec, message, **kwargs):
    with pytest.raises(UsageError, match=message) as error:
        load_data(spec, **kwargs)
    assert "\n" not in str(error.value)
