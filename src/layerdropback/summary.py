"""What would be dropped, as a table to read before anyone trains."""

from collections.abc import Sequence

from .model.layers import Layer
from .model.order import Order
from .schedule import Schedule
from .settings import Settings
from .strategies.plan import Plan
from .strategies.ranking import first_use


def describe(
    layers: Sequence[Layer],
    settings: Settings,
    order: Order | None,
    plan: Plan | None,
) -> str:
    """The settings in a line, then each layer with its size and its drop rate.

    Layers come in the order of their first use where it is known, else as they were registered.
    """
    ranked = list(range(len(layers)))
    if order is not None:
        ranks = [first_use(layer, order) for layer in layers]
        ranked.sort(key=ranks.__getitem__)
    rows = [("layer", "parameters", "drop rate")]
    rows += [
        (
            layers[i].name,
            f"{layers[i].numel:,}",
            _rate(i, layers[i], settings.schedule, plan),
        )
        for i in ranked
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = [
        f"  {name:<{widths[0]}}  {size:>{widths[1]}}  {rate}".rstrip() for name, size, rate in rows
    ]
    return "\n".join([_headline(layers, settings), *table])


def _headline(layers: Sequence[Layer], settings: Settings) -> str:
    schedule = settings.schedule
    if not schedule.ever_drops:
        return "LayerDropBack with drop_rate=0: plain training, no epoch drops"
    every = "every epoch" if schedule.every == 1 else f"every {schedule.every} epochs"
    if schedule.period_steps is not None:
        every += f" (of {schedule.period_steps} steps)"
    late = "" if schedule.anneal == 0 else f", the last {schedule.anneal:.0%} in full"
    ramp = "" if schedule.ramp == "constant" else f" ({schedule.ramp})"
    return (
        f"LayerDropBack: {settings.strategy} at rate {schedule.drop_rate:g}{ramp} "
        f"over {len(layers)} layers (unit {settings.unit!r}), "
        f"{every} from epoch {schedule.start}{late}; "
        f"LR x{schedule.lr_scale}, batch x{schedule.batch_scale:g} in drop epochs"
    )


def _rate(index: int, layer: Layer, schedule: Schedule, plan: Plan | None) -> str:
    if plan is not None:
        return plan.describe(index)
    if not layer.trainable:
        return "frozen"
    return f"{schedule.drop_rate:g} (order not known before the first step)"
