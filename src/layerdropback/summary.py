"""What would be dropped, as a table to read, and what was, as numbers for a logger."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .engine.engine import Engine
from .model.layers import Layer
from .model.order import by_first_use
from .settings import Settings


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
    order = range(len(layers)) if learned is None else by_first_use(layers, learned.order)
    ranked = [layers[i] for i in order]
    columns = [
        ["layer", *(layer.name for layer in ranked)],
        ["parameters", *(f"{layer.numel:,}" for layer in ranked)],
    ]
    if settings.strategy.resting is not None:
        columns += [["bytes to train", *(f"{_training_bytes(la, engine):,}" for la in ranked)]]
    said = [_unplanned(layer, settings) for layer in layers] if plan is None else plan.describe()
    rates = ["drop rate", *(said[i] for i in order)]
    widths = [max(map(len, column)) for column in columns]
    lines = [_headline(layers, settings)]
    for name, *sizes, rate in zip(*columns, rates, strict=True):
        cells = [f"{name:<{widths[0]}}", *map(str.rjust, sizes, widths[1:]), rate]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def _training_bytes(layer: Layer, engine: Engine) -> int:
    """What a layer's gradient and its optimizer states take, as far as these are known by now.

    One parameter's states say how large another's are: so many numbers for each of its own.
    """
    own = sum(p.numel() * p.element_size() for p in layer.parameters)
    return own + round(own * _states_of_a_byte(engine.target.optimizers))


def _states_of_a_byte(optimizers: Iterable[Optimizer]) -> float:
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            large = [v for v in state.values() if isinstance(v, Tensor) and v.dim() > 0]
            if large and parameter.numel() > 1:
                return sum(v.nbytes for v in large) / parameter.nbytes
    return 0.0


def _headline(layers: Sequence[Layer], settings: Settings) -> str:
    schedule, strategy = settings.schedule, settings.strategy
    if not settings.ever_drops:
        return "LayerDropBack with a drop rate of 0: plain training, no epoch drops"
    pace, start = schedule.pace
    every = "every epoch" if pace == 1 else f"every {pace} epochs"
    if schedule.steps is not None:
        every += f" (of {schedule.steps} steps)"
    late = "" if schedule.anneal == 0 else f", the last {schedule.anneal:.0%} in full"
    ramp = "" if schedule.ramp == "constant" else f" ({schedule.ramp})"
    return (
        f"LayerDropBack: {strategy.name}, {strategy.rate_text}{ramp}, "
        f"over {len(layers)} layers (unit {strategy.unit!r}), "
        f"{every} from epoch {start}{late}; "
        f"LR x{settings.lr_scale}, batch x{settings.batch_scale:g} in drop epochs"
    )


def _unplanned(layer: Layer, settings: Settings) -> str:
    if not layer.trainable:
        return "frozen"
    return f"{settings.strategy.rate_text} (order not known before the first step)"
