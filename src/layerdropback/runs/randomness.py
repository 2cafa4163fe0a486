"""The state of every global random generator, in plain values."""

import random
from typing import Any

import numpy as np
import torch


def generator_states(device: torch.device) -> dict[str, Any]:
    """The states of torch's, Python's and numpy's global generators.

    Args:
        device: whose generator is wanted beside the CPU's.

    Example:
        >>> before = generator_states(torch.device("cpu"))
        >>> drawn = torch.rand(2)
        >>> set_generator_states(before, torch.device("cpu"))
        >>> torch.equal(torch.rand(2), drawn)
        True
    """
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.array(keys, dtype=np.int64)), *rest],
    }


def set_generator_states(states: dict[str, Any], device: torch.device) -> None:
    """Put the generators where `generator_states` found them; a GPU's if it was there then."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"], device)
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))


def seed_all(seed: int) -> None:
    """Seed torch's, Python's and numpy's global generators.

    Example:
        >>> seed_all(3)
        >>> first = random.random()
        >>> seed_all(3)
        >>> random.random() == first
        True
    """
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
