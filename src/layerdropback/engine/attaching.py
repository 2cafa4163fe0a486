"""What is looked at, on all ranks alike, before anything is attached or an epoch begins."""

from collections.abc import Sequence
from typing import cast

from torch import nn
from torch.optim import Optimizer

from ..distributed.agreement import Ranks, digest
from ..errors import AttachError
from ..interop.sharding import reshard
from ..interop.wrappers import torch_optimizer
from ..model.layers import find_layers, fingerprint
from ..settings import Settings
from . import checks
from .engine import Engine
from .target import Target

_SUBJECT = "cannot attach LayerDropBack"


def attach(model: nn.Module, given: Sequence[object], settings: Settings) -> Engine:
    """Attach to a model and its optimizers, which may be wrapped.

    An `AttachError` has every problem that was found, on all ranks.
    """
    optimizers = cast(tuple[Optimizer, ...], tuple(map(torch_optimizer, given)))
    problems = checks.type_problems(model, optimizers)
    if problems and not isinstance(model, nn.Module):
        raise AttachError(problems, _SUBJECT)
    ranks = Ranks(model)
    if problems:  # all ranks hear of them: they would wait for this one otherwise
        ranks.require_agreement({}, _SUBJECT, tuple(problems))
    target = Target(model, optimizers, find_layers(model, settings.strategy.unit))
    reshard(target.sharded)  # a test leaves parameters whole
    problems = checks.attach_problems(target, settings) if settings.ever_drops else []
    facts = settings.to_state() | {"layers (a digest)": digest(fingerprint(target.layers))}
    ranks.require_agreement(facts, _SUBJECT, tuple(problems))
    return Engine(target, settings)


def follow_changes(engine: Engine, epoch: int) -> None:
    """Plan by what model and optimizers are when an epoch begins.

    An `AttachError` says how they have changed so that nobody can follow, or how ranks disagree.
    """
    target, planner, counters = engine.target, engine.windows.planner, engine.windows.counters
    reshard(target.sharded)
    problems = checks.epoch_problems(target)
    facts = {
        "epoch": epoch,
        "seed": planner.masks.seed,
        "step": counters.step,
        "drop_steps": counters.drop_steps,
        "what was learned (a digest)": digest(planner.knowledge.to_state()),
    }
    ranks = Ranks(target.model)
    ranks.require_agreement(facts, "cannot begin the epoch", tuple(problems))
    planner.replan()
