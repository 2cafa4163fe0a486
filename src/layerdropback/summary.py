"""What would be dropped, as a table to read, and what was, as numbers for a logger."""

from collections.abc import Sequence
from typing import Any

from .engine.engine import Engine
from .model.layers import Layer
from .model.ranking import by_first_use
from .settings import Settings
from .strategies.plan import Plan


def numbers(engine: Engine, gradient_bytes: int | None) -> dict[str, Any]:
    """What `LayerDropBack.stats` says."""
    windows = engine.windows
    counters = windows.counters
    names = [layer.name for layer in engine.target.layers]
    return {
        "epoch": counters.epoch,
        "is_drop_epoch": windows.drops,
        "step": counters.step,
        "drop_steps": counters.drop_steps,
        "lr_factor": windows.window.lr_factor,
        "share_dropped": counters.share,
        "backward_saved": windows.saved,
        "times_dropped": dict(zip(names, counters.times_dropped.tolist(), strict=True)),
        "drop_chances": dict(zip(names, engine.chances(), strict=False)),
        "gradient_bytes": gradient_bytes,
    }


def describe(engine: Engine) -> str:
    """The settings in a line, then each layer with its size and its drop rate.

    Layers come in the order of their first use where it is known, else as they were registered.
    """
    layers, settings = engine.target.layers, engine.windows.settings
    plan, learned = engine.windows.planner.plan, engine.windows.planner.knowledge.learned
    ranked = range(len(layers)) if learned is None else by_first_use(layers, learned.order)
    rows = [("layer", "parameters", "drop rate")]
    rows += [
        (layers[i].name, f"{layers[i].numel:,}", _rate(i, layers[i], settings, plan))
        for i in ranked
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = [
        f"  {name:<{widths[0]}}  {size:>{widths[1]}}  {rate}".rstrip() for name, size, rate in rows
    ]
    return "\n".join([_headline(layers, settings), *table])


def _headline(layers: Sequence[Layer], settings: Settings) -> str:
    schedule, strategy = settings.schedule, settings.strategy
    if not settings.ever_drops:
        return "LayerDropBack with a drop rate of 0: plain training, no epoch drops"
    every = "every epoch" if schedule.every == 1 else f"every {schedule.every} epochs"
    if schedule.steps is not None:
        every += f" (of {schedule.steps} steps)"
    late = "" if schedule.anneal == 0 else f", the last {schedule.anneal:.0%} in full"
    ramp = "" if schedule.ramp == "constant" else f" ({schedule.ramp})"
    return (
        f"LayerDropBack: {strategy.name}, {strategy.rate_text}{ramp}, "
        f"over {len(layers)} layers (unit {strategy.unit!r}), "
        f"{every} from epoch {schedule.start}{late}; "
        f"LR x{settings.lr_scale}, batch x{settings.batch_scale:g} in drop epochs"
    )


def _rate(index: int, layer: Layer, settings: Settings, plan: Plan | None) -> str:
    if plan is not None:
        return plan.describe(index)
    if not layer.trainable:
        return "frozen"
    return f"{settings.strategy.rate_text} (order not known before the first step)"
