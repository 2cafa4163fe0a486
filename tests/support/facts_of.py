"""What is known of a chain of layers, made by hand."""

import numpy as np
from torch import nn

from layerdropback import find_layers
from layerdropback.strategies.facts import Facts


def facts_of(count, kept=(), **known):
    """Facts of a chain of layers named "0", "1", ..., in the order of their use.

    Args:
        count: of layers.
        kept: the indices of those that cannot drop.
        **known: the other fields of `Facts`.
    """
    layers = find_layers(nn.Sequential(*(nn.Linear(2, 2) for _ in range(count))))
    free = np.array([i not in kept for i in range(count)])
    return Facts(layers, free, **({"ascending": tuple(range(count))} | known))
