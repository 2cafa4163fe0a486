"""The drop rate that meets a budget, from what a step costs."""

from collections.abc import Callable

import numpy as np

from .errors import AttachError, explain
from .model.backward import BackwardCosts
from .strategies.plan import Plan
from .strategies.sampling import BUDGET, Mask, random_numbers

# Masks that the expectation is taken over, and halvings of the interval that holds the rate.
_MASKS, _HALVINGS = 48, 10


def rate_for(plan: Plan, costs: BackwardCosts, forward: float, seed: int) -> float:
    """The drop rate with which a drop step spares the wanted share of a step's FLOPs on average.

    Args:
        plan: of the model; its settings have the budget.
        costs: of a full step's backward passes.
        forward: FLOPs of its forward passes.
        seed: of the masks that the expectation is taken over, for ``uniform``.

    Raises:
        AttachError: no rate spares as much.
    """
    target = plan.settings.target_saving
    assert target is not None
    layers = plan.layers
    everything = {name for layer in layers for name in layer.parameter_names}
    backward = costs.of(everything)
    step = forward + backward
    free = plan.free()
    if not step:
        cause = "no product or convolution was counted in its first step"
        cure = "give drop_rate instead"
        raise AttachError([explain("target_saving cannot be met for this model", cause, cure)])

    def spared(dropped: Mask) -> float:
        gone = {
            name for i in np.flatnonzero(dropped).tolist() for name in layers[i].parameter_names
        }
        return (backward - costs.of(everything - gone)) / step

    if plan.shares is not None:  # what cuts skip is the rate itself
        below = []
        for i in plan.ascending:
            if not free[i]:
                break
            below.append(plan.shares[layers[i].name])
        most = (below[-1] if below else 0.0) * backward / step
        rate = target * step / backward
    elif plan.groups:  # branches are apart from each other, so their shares add up
        most = 0.0
        for group in plan.groups:
            if free[group.layers[0]]:
                most += group.share * backward / step
        rate = target / most if most else np.inf
    else:
        most = spared(free)
        rate = _halved(plan, free, spared, target, seed) if target < most else np.inf
    if target > most or rate >= 1:
        fact = f"target_saving={target:g} cannot be met with strategy={plan.settings.strategy!r}"
        cause = f"with everything dropped that can be, a step spares {most:.3g} of its FLOPs"
        raise AttachError([explain(fact, cause, f"give less than {most:.3g}, or another strategy")])
    return float(rate)


def _halved(
    plan: Plan, free: Mask, spared: Callable[[Mask], float], target: float, seed: int
) -> float:
    """Bisection: with the same random numbers, a higher rate never drops less."""
    # Each layer's numbers are spread evenly over the masks, which takes most of the chance out.
    count = len(plan.layers)
    drawn = random_numbers(seed, BUDGET, 0, 2 * _MASKS * count).reshape(2, _MASKS, count)
    numbers = (np.argsort(drawn[0], axis=0) + drawn[1]) / _MASKS
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rates = plan.spread(middle, free)
        mean = float(np.mean([spared((row < rates) & free) for row in numbers]))
        low, high = (middle, high) if mean < target else (low, middle)
    return (low + high) / 2
