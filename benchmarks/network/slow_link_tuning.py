"""How `slow_link`'s workers choose learning rates."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.distributed as dist

from .slow_link_arms import Arm

WIDER = 4  # learning rates that a grid gets more of, at most
TUNING_SEED = 1_000_000
Trials = list[dict[str, Any]]


def tune(
    given: Sequence[Arm],
    plan: Mapping[str, Any],
    rank: int,
    trial: Callable[[Arm, float, int], dict[str, Any]],
    known: dict[str, float],
) -> Trials:
    """Choose learning rates on the images held out.

    A whole batch in one process gives what two workers get of its halves, without the link:
    each worker makes half of the trials.

    Args:
        given: the arms.
        plan: of the script.
        rank: of this worker.
        trial: makes a run of an arm with a rate and a seed.
        known: rates that are chosen; gets those of these arms.

    Returns:
        Both workers' trials.
    """
    arms = [arm for arm in given if arm.tuned_as is None]
    grids = {arm.name: list(plan["grid"]) for arm in arms}
    missing = [(arm, rate) for arm in arms for rate in grids[arm.name]]
    seeds = range(TUNING_SEED, TUNING_SEED + plan["tune_seeds"])
    found: Trials = []
    while missing:
        trials = [(arm, rate, seed) for arm, rate in missing for seed in seeds]
        made = [trial(*one) for one in trials[rank::2]]
        gathered: list[Any] = [None, None]
        dist.all_gather_object(gathered, made)
        found += [one for theirs in gathered for one in theirs]
        missing = []
        for arm in arms:
            rates = grids[arm.name]
            chosen = known[arm.name] = best(found, arm.name)
            wider = {rates[0]: rates[0] ** 2 / rates[1], rates[-1]: rates[-1] ** 2 / rates[-2]}
            if chosen in wider and len(rates) < len(plan["grid"]) + WIDER:
                missing.append((arm, wider[chosen]))
                grids[arm.name] = sorted([*rates, wider[chosen]])
    for arm in given:
        if arm.tuned_as is not None:
            known[arm.name] = known[arm.tuned_as]
    return found


def best(trials: Trials, arm: str) -> float:
    """The learning rate with the best mean accuracy."""
    scores: dict[float, list[float]] = {}
    for trial in trials:
        if trial["arm"] == arm:
            scores.setdefault(trial["lr"], []).append(trial["accuracy"])
    return max(scores, key=lambda rate: statistics.fmean(scores[rate]))
