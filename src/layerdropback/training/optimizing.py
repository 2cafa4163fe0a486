"""Optimizers and learning-rate schedules, torch's and timm's, from a run's settings."""

import difflib
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..errors import UsageError, explain
from .config import TrainConfig


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """The optimizer of a run, by timm's names: ``sgd`` is torch's, with Nesterov momentum.

    Raises:
        UsageError: timm knows no such optimizer, or it cannot be made.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    if config.optimizer not in list_optimizers():
        close = difflib.get_close_matches(config.optimizer, list_optimizers(), n=3)
        hint = f"did you mean {', '.join(close)}" if close else "see timm.optim.list_optimizers()"
        fact = f"--optimizer {config.optimizer} is unknown"
        raise UsageError(explain(fact, "timm has no optimizer of that name", hint))
    # Nesterov's method is not defined without momentum.
    name = "momentum" if config.optimizer == "sgd" and not config.momentum else config.optimizer
    by_depth = config.layer_decay < 1
    try:
        optimizer: Optimizer = create_optimizer_v2(
            model.parameters() if config.decay_all and not by_depth else model,
            opt=name,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            filter_bias_and_bn=not config.decay_all,
            layer_decay=config.layer_decay if by_depth else None,
        )
    except Exception as error:  # some need packages or a GPU that are not there
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        fact = f"--optimizer {config.optimizer} cannot be made"
        raise UsageError(explain(fact, reason, "choose another one")) from None
    if by_depth and config.decay_all:  # timm leaves out more or less of it, by its release
        for group in optimizer.param_groups:
            group["weight_decay"] = config.weight_decay
    if getattr(optimizer, "is_second_order", False):
        fact = f"--optimizer {config.optimizer} is not usable"
        raise UsageError(explain(fact, "it needs second derivatives", "choose another one"))
    return optimizer


def make_schedule(config: TrainConfig, optimizer: Optimizer, samples: int) -> Any:
    """The learning rate as a function of the samples seen, so that a doubled batch keeps its pace.

    Args:
        config: the run's settings.
        optimizer: whose learning rate is set.
        samples: in one epoch.

    Returns:
        One of timm's schedulers, a pure function of its clock: ``step_update(samples_seen)`` sets
        the rate of the step that comes next.
    """
    from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler, PolyLRScheduler

    whole = round(config.epochs * samples)
    warmup = round(config.warmup_epochs * samples)
    common = {"warmup_t": warmup, "warmup_prefix": True, "t_in_epochs": False}
    falling = max(2, whole - warmup)  # timm takes a single step for a mistake
    if config.schedule == "cosine":
        return CosineLRScheduler(optimizer, t_initial=falling, **common)
    if config.schedule == "linear":
        return PolyLRScheduler(optimizer, t_initial=falling, power=1.0, **common)
    shares = sorted(config.milestones) if config.schedule == "steps" else []
    milestones = [max(1, round(share * whole) - warmup) for share in shares]
    return MultiStepLRScheduler(optimizer, decay_t=milestones, decay_rate=config.gamma, **common)


def first_rate(optimizer: Optimizer) -> float:
    """The schedule's learning rate, which a group of timm's layer decay has a share of."""
    group = optimizer.param_groups[0]
    return float(group["lr"] / group.get("lr_scale", 1.0))
