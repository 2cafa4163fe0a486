"""What is looked at, on all ranks alike, before anything is attached or an epoch begins."""

from collections.abc import Sequence
from typing import cast

from torch import nn
from torch.optim import Optimizer

from ..distributed.agreement import Ranks
from ..errors import AttachError
from ..interop.sharding import reshard
from ..interop.wrappers import torch_optimizer
from ..model.layers import find_layers
from ..settings import Settings
from . import checks
from .agreed import facts_of_attachment, facts_of_epoch
from .buckets import warn_of_buckets
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
    facts = facts_of_attachment(target, settings)
    ranks.require_agreement(facts, _SUBJECT, tuple(problems))
    warn_of_buckets(target, settings.strategy)
    return Engine(target, settings)


def follow_changes(engine: Engine, epoch: int) -> None:
    """Plan by what model and optimizers are when an epoch begins.

    An `AttachError` says how they have changed so that nobody can follow, or how ranks disagree.
    """
    target, windows = engine.target, engine.windows
    reshard(target.sharded)
    problems = checks.epoch_problems(target)
    facts = facts_of_epoch(windows) | {"epoch": epoch}
    ranks = Ranks(target.model, target.adopted)
    ranks.require_agreement(facts, "cannot begin the epoch", tuple(problems))
    windows.planner.replan()
