"""What is spared of the backward pass's cost, by layer."""

from collections.abc import Mapping, Sequence, Set

import numpy as np

from ..errors import AttachError, explain
from ..model.backward import BackwardCosts
from ..model.layers import Layer
from ..model.order import Order
from ..model.ranking import by_first_use

# By layer's name, of the backward pass's cost: what is skipped with the layer and all before it.
Shares = Mapping[str, float]


def depth_shares(
    layers: Sequence[Layer], order: Order, costs: BackwardCosts, early: Set[str]
) -> Shares:
    """What is skipped of the backward pass's cost by a cut above each layer.

    Of the parameters in `early` every cut drops all uses but the last.

    Raises:
        AttachError: no cost was counted, so that no cut can be weighed.
    """
    ranked = by_first_use(layers, order, early)
    places = {
        name: place
        for place, i in enumerate(ranked)
        for name in layers[i].parameter_names
        if name in order.first
    }
    spent = costs.by_place(places, dict.fromkeys(early, 0))
    total = sum(spent.values())
    if not total:
        cause = "the backward pass has no product or convolution whose cost could be counted"
        fact = "cuts cannot be weighed in this model"
        raise AttachError([explain(fact, cause, "use Uniform()")])
    skipped = np.cumsum([spent.get(place, 0.0) for place in range(len(ranked))]) / total
    return {layers[i].name: float(share) for i, share in zip(ranked, skipped, strict=True)}
