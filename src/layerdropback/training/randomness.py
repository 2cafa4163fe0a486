"""The state of every global random generator, in plain values."""

import random
from typing import Any

import numpy as np
import torch


def generator_states() -> dict[str, Any]:
    """The states of torch's, Python's and numpy's global generators.

    Example:
        >>> before = generator_states()
        >>> drawn = torch.rand(2)
        >>> set_generator_states(before)
        >>> torch.equal(torch.rand(2), drawn)
        True
    """
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.array(keys, dtype=np.int64)), *rest],
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Put the generators where `generator_states` found them."""
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
