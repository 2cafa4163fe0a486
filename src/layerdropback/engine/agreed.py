"""What all ranks must have in common, so that their masks are the same, and who they are.

``DistributedDataParallel`` that was put around the model, or a part of it, after the attachment
(Accelerate's ``prepare`` does) shows in the first forward pass that runs inside of it. It counts
from then on as if it had been there from the start.
"""

import warnings
from typing import Any

from ..distributed.agreement import Ranks, digest
from ..distributed.ddp import SyncWatch
from ..errors import explain
from ..interop.private import active_parallel
from ..interop.wrappers import data_parallels
from ..model.layers import fingerprint
from ..settings import Settings
from ..strategies import Strategy
from .checks import wrapper_problems
from .target import Target
from .windows import Windows


def facts_of_attachment(target: Target, settings: Settings) -> dict[str, Any]:
    """What masks depend on from the beginning."""
    return settings.to_state() | {"layers (a digest)": digest(fingerprint(target.layers))}


def facts_of_epoch(windows: Windows) -> dict[str, Any]:
    """What they depend on as the training goes on."""
    planner, counters = windows.planner, windows.counters
    return {
        "epoch": counters.epoch,
        "seed": planner.masks.seed,
        "step": counters.step,
        "drop_steps": counters.drop_steps,
        "what was learned (a digest)": digest(planner.knowledge.to_state()),
    }


def warn_of_buckets(target: Target, strategy: Strategy) -> None:
    """Say that DDP saves less, where blocks take turns to save memory."""
    if strategy.resting is None or not data_parallels(target.model, *target.adopted):
        return
    fact = "gradients of blocks that rest are not saved under DistributedDataParallel"
    cause = "its buckets hold a gradient for every parameter from the start"
    cure = "use fully_shard (FSDP2), or ignore this: states and activations are saved all the same"
    warnings.warn(explain(fact, cause, cure), stacklevel=5)


def adopt(windows: Windows) -> None:
    """A forward pass begins: see whether it is one of a DDP that nobody knew of.

    An `AttachError`, on all ranks alike, says what is wrong with it, or how the ranks disagree.
    """
    parallel = active_parallel()
    if parallel is None or windows.syncs.knows(parallel):
        return
    target = windows.target
    facts = facts_of_attachment(target, windows.settings) | facts_of_epoch(windows)
    problems = tuple(wrapper_problems(parallel))
    Ranks(parallel).require_agreement(facts, "cannot drop layers in this DDP model", problems)
    # One that wrapped the same before is of no use any more.
    others = [other for other in target.adopted if other.module is not parallel.module]
    target.adopted[:] = [*others, parallel]
    windows.syncs = SyncWatch(target.model, target.adopted)
    warn_of_buckets(target, windows.settings.strategy)
